"""Settings of the wrong kind, unknown, out of range, or in a file that is no settings."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from .case import OUT, Case
from .files import config


def _file(what: str, text: str | bytes, *says: str | int) -> Case:
    return Case("configs", what, lambda folder: config(folder, text), ("own.yaml", *says))


SMALL = ("--data.train_size", "2", "--data.val_size", "1", "--data.image_size", "32")


def _words(what: str, words: Sequence[str], *says: str | int) -> Case:
    return Case("configs", what, lambda _: ["demo", "--out", OUT, "--quiet", *SMALL, *words], says)


SHOWN = "VALUE"
"""In what a line names: the value as it was given."""


def _setting(key: str, value: str, *says: str | int) -> Case:
    named = [value if part is SHOWN else part for part in says]
    return _words(f"{key} {value}", [f"--{key}", value], key, *named)


def _no_file(_: Path) -> Sequence[str]:
    return ["run", "--config", "none.yaml", "--out", OUT]


def _folder(folder: Path) -> Sequence[str]:
    (folder / "own.yaml").mkdir()
    return ["run", "--config", "own.yaml", "--out", OUT]


_LAUGHS = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in pairwise("abcdefghijklmnopqrst"))
"""Aliases of aliases: a million items once they are written out."""

FILES = [
    _file("no YAML", "data: {root: [", "YAML"),
    _file("tabs", "data:\n\troot: x\n", 2, "YAML"),
    _file("a list", "- seed\n", "settings"),
    _file("text", "seed\n", "settings"),
    _file("UTF-16", "seed: 0\n".encode("utf-16"), "UTF-8"),
    _file("Latin-1", "data: {root: é}\n".encode("latin-1"), "UTF-8"),
    _file("a PNG", b"\x89PNG\r\n\x1a\n\0\0", "UTF-8"),
    _file("zeros", bytes(50), "YAML"),
    _file("a Python object", "seed: !!python/object/apply:os.mkdir [executed]\n", 1, "YAML"),
    _file("a Python name", "seed: !!python/name:os.mkdir\n", 1, "YAML"),
    _file("a tag of its own", "seed: !run mkdir\n", 1, "YAML"),
    _file("two documents", "seed: 0\n---\nseed: 1\n", "YAML"),
    _file("a key twice", "seed: 0\nseed: 1\n", 2, "seed", 1),
    _file("an alias to nothing", "seed: *x\n", 1, "YAML"),
    _file("a mapping that holds itself", "data: &x {pairs: *x}\n", 1, "data.pairs", "mapping"),
    _file("nested 500 deep", "data: {pairs: " + "[" * 500 + "]" * 500 + "}", "nested"),
    _file("nested 1,000 deep and not closed", "data: " + "[" * 1000, "nested"),
    _file("aliases that grow", _LAUGHS, 1, 19, "setting"),
    _file("an unknown section", "dat: {root: x}\n", 1, "dat", "data"),
    _file("an unknown setting", "data: {rot: x}\n", "data.rot", "root"),
    _file("a section of text", "data: x\n", 1, "data", "x"),
    _file("a section of a list", "data: [1]\n", 1, "data", "[1]"),
    _file("text for a number", "seed: many\n", 1, "seed", "many", "whole number"),
    _file("a fraction for a whole number", "seed: 1.5\n", 1, "seed", "1.5", "whole number"),
    _file("true for a number", "seed: true\n", 1, "seed", "true", "whole number"),
    _file("null for a number", "seed: null\n", 1, "seed", "null", "whole number"),
    _file("a date for a number", "seed: 2020-01-01\n", 1, "seed", "whole number"),
    _file("a list for text", "device: [cpu]\n", 1, "device", "cpu"),
    _file("a number for text", "data: {root: 1}\n", 1, "data.root"),
    _file("NaN", "data: {bias: .nan}\n", 1, "data.bias", "nan"),
    _file("infinity", "classify: {learning_rate: .inf}\n", 1, "classify.learning_rate", "inf"),
    _file("minus infinity", "pseudo_masks: {threshold: -.inf}\n", 1, "pseudo_masks.threshold", "-inf"),
    _file("a number of 400 digits for a fraction", f"data: {{bias: 1{'0' * 400}}}\n", 1, "data.bias"),
    _file("a number of 5,000 digits", f"seed: 1{'0' * 5000}\n", 5001),
    _file("text for a mapping", "data: {pairs: boat}\n", 1, "data.pairs", "boat", "mapping"),
    _file(
        "a number among phrases", "data: {prompt_names: {boat: [ship, 1]}}\n", 1, "data.prompt_names", "boat", "list"
    ),
    _file("a number in a mapping", "data: {pairs: {boat: 1}}\n", 1, "data.pairs", "boat", "mapping"),
    _file("text for a list", "cams: {scales: '1.0'}\n", 1, "cams.scales", "1.0", "list"),
    _file("an empty list", "cams: {scales: []}\n", 1, "cams.scales", "[]"),
    _file("several problems", "seed: x\ndata: {bias: 2}\n", 1, "seed", "x", 2, "data.bias", "2.0"),
]

ROOTS = [
    Case("configs", "no root", lambda folder: config(folder, "data: {reader: folder}\n"), ("data.root", "folder")),
    Case(
        "configs",
        "no such root",
        lambda folder: config(folder, "data: {reader: folder, root: none}\n"),
        ("none", "tags.csv"),
    ),
]

VALUES = [
    _setting("seed", "-1", SHOWN),
    _setting("seed", "99999999999999999999", SHOWN),
    _setting("checkpoint_seconds", "-1", SHOWN),
    _setting("precision", "fp8", SHOWN, "auto", "fp32", "bf16"),
    _setting("device", "gpu", SHOWN, "auto", "cpu"),
    _setting("device", "cpu:x", SHOWN, "auto", "cpu"),
    _setting("device", "cuda:99", SHOWN, "auto", "cpu"),
    _setting("data.reader", "zip", SHOWN, "scenes", "folder"),
    _setting("data.bias", "1.5", SHOWN),
    _setting("data.val_fraction", "-0.1", SHOWN),
    _setting("data.image_size", "0", SHOWN),
    _setting("data.image_size", "31", SHOWN, 32, 512),
    _setting("data.image_size", "100000", SHOWN, 32, 512),
    _setting("data.train_size", "-5", SHOWN),
    _setting("data.val_size", "0", SHOWN),
    _setting("data.workers", "-1", SHOWN),
    _setting("data.cache_mb", "-1", SHOWN),
    _setting("data.skip_bad_images", "maybe", SHOWN),
    _setting("data.pairs", "{}", 2),
    _setting("data.pairs", '{"boat": "moon", "cat": "sand"}', "moon", "water", "rocks"),
    _setting("data.pairs", '{"bota": "water", "cat": "sand"}', "bota", "boat", "train"),
    _setting("vision_language.template", "a photo", SHOWN, "{}"),
    _setting("vision_language.template", "{} {}", SHOWN, "{}"),
    _setting("vision_language.templates", '["a {}", "b"]', '"b"', "{}"),
    _setting("vision_language.score", "dot", SHOWN, "auto", "cosine", "sigmoid"),
    _setting("vision_language.image_size", "-4", SHOWN),
    _setting("mask_generator.name", "grad", SHOWN, "cam", "clip"),
    _setting("mask_generator.name", "os.system", SHOWN),
    _setting("mask_generator.name", "no.such.module.Generator", SHOWN),
    _setting("mask_generator.image_size", "0", SHOWN),
    _setting("mask_generator.output_stride", "7", SHOWN, "null"),
    _setting("classify.epochs", "0", SHOWN),
    _setting("classify.epochs", "1.5", SHOWN),
    _setting("classify.batch_size", "0", SHOWN),
    _setting("classify.learning_rate", "0", SHOWN),
    _setting("classify.learning_rate", "nan", SHOWN),
    _setting("classify.warmup", "2", SHOWN),
    _setting("match.lambda_background", "-1", SHOWN),
    _setting("prompts.length", "0", SHOWN),
    _setting("prompts.start", "random", SHOWN, "uniform", "words"),
    _setting("prompts.words", "none.txt", SHOWN),
    _setting("refine.lambda_suppress", "-0.5", SHOWN),
    _setting("cams.scales", "[0]", "[0.0]"),
    _setting("cams.scales", "[-1.0]", SHOWN),
    _setting("cams.scales", "[many]", "many", "list"),
    _setting("cams.flip", "sometimes", SHOWN),
    _setting("pseudo_masks.threshold", "2", "2.0"),
    _setting("pseudo_masks.refinement", '["crf"]', "crf", "dense_crf"),
    _setting("pixel_adaptive.dilations", "[0]", SHOWN),
    _setting("dense_crf.label_confidence", "1", SHOWN),
    _setting("segment.image_size", "-1", SHOWN),
    _setting("segment.largest_scale", "0.1", SHOWN, "segment.smallest_scale"),
    _setting("evaluation.classes", '["moon"]', "moon", "background", "boat"),
    _setting("report.images", "0", SHOWN),
    _setting("augmentation.random_erasing", "3", "3.0"),
]

WORDS = [
    Case("configs", "no such file", _no_file, ("none.yaml", "YAML")),
    Case("configs", "a folder as file", _folder, ("own.yaml", "YAML")),
    Case("configs", "no file", lambda _: ["run", "--out", OUT], ("run", "--config")),
    Case("configs", "no such verb", lambda _: ["rnu"], ("rnu", "run")),
    _words("no such option", ["--frce", "match"], "--frce", "force"),
    _words("no such stage", ["--force", "matching"], "--force", "matching", "match"),
    _words("no value", ["--seed"], "--seed"),
    _words("a stray word", ["seed"], "seed", "--section.key"),
    _words("a setting of no section", ["--data.rot", "x"], "--data.rot", "root"),
    _words("a section as setting", ["--data.", "x"], "--data.", "reader"),
]

CASES = [*FILES, *ROOTS, *VALUES, *WORDS]
