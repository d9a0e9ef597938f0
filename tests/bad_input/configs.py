"""Settings of the wrong kind, unknown, out of range, or in a file that is no settings."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from .case import OUT, Case
from .files import config


def _file(what: str, text: str | bytes, *says: str) -> Case:
    return Case("configs", what, lambda folder: config(folder, text), ("own.yaml", *says))


SMALL = ("--data.train_size", "2", "--data.val_size", "1", "--data.image_size", "32")


def _words(what: str, words: Sequence[str], *says: str) -> Case:
    return Case("configs", what, lambda _: ["demo", "--out", OUT, "--quiet", *SMALL, *words], says)


def _setting(key: str, value: str, *says: str) -> Case:
    return _words(f"{key} {value}", [f"--{key}", value], key, *says)


def _no_file(_: Path) -> Sequence[str]:
    return ["run", "--config", "none.yaml", "--out", OUT]


def _folder(folder: Path) -> Sequence[str]:
    (folder / "own.yaml").mkdir()
    return ["run", "--config", "own.yaml", "--out", OUT]


_LAUGHS = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in pairwise("abcdefghijklmnopqrst"))
"""Aliases of aliases: a million items once they are written out."""

FILES = [
    _file("no YAML", "data: {root: [", "not valid YAML"),
    _file("tabs", "data:\n\troot: x\n", "own.yaml:2", "not valid YAML"),
    _file("a list", "- seed\n", "expected settings"),
    _file("text", "seed\n", "expected settings"),
    _file("UTF-16", "seed: 0\n".encode("utf-16"), "own.yaml"),
    _file("Latin-1", "data: {root: é}\n".encode("latin-1"), "own.yaml"),
    _file("a PNG", b"\x89PNG\r\n\x1a\n\0\0", "own.yaml"),
    _file("zeros", bytes(50), "own.yaml"),
    _file("a Python object", "seed: !!python/object/apply:os.mkdir [executed]\n", "own.yaml:1", "not valid YAML"),
    _file("a Python name", "seed: !!python/name:os.mkdir\n", "own.yaml:1", "not valid YAML"),
    _file("a tag of its own", "seed: !run mkdir\n", "own.yaml:1", "not valid YAML"),
    _file("two documents", "seed: 0\n---\nseed: 1\n", "not valid YAML"),
    _file("a key twice", "seed: 0\nseed: 1\n", "own.yaml:2", "given twice, first in line 1"),
    _file("an alias to nothing", "seed: *x\n", "own.yaml:1", "not valid YAML"),
    _file("a mapping that holds itself", "data: &x {pairs: *x}\n", "data.pairs", "expected a mapping"),
    _file("nested 500 deep", "data: {pairs: " + "[" * 500 + "]" * 500 + "}", "nested too deep", "expected sections"),
    _file("nested 1,000 deep and not closed", "data: " + "[" * 1000, "nested too deep", "expected sections"),
    _file("aliases that grow", _LAUGHS, "is not a setting"),
    _file("an unknown section", "dat: {root: x}\n", "own.yaml:1", "dat is not a setting", 'Did you mean "data"'),
    _file("an unknown setting", "data: {rot: x}\n", "data.rot is not a setting", 'Did you mean "root"'),
    _file("a section of text", "data: x\n", 'data is "x"', "expected a section"),
    _file("a section of a list", "data: [1]\n", "data is [1]", "expected a section"),
    _file("text for a number", "seed: many\n", 'seed is "many"', "expected a whole number"),
    _file("a fraction for a whole number", "seed: 1.5\n", "seed is 1.5", "expected a whole number"),
    _file("true for a number", "seed: true\n", "seed is true", "expected a whole number"),
    _file("null for a number", "seed: null\n", "seed is null", "expected a whole number"),
    _file("a date for a number", "seed: 2020-01-01\n", "seed is", "expected a whole number"),
    _file("a list for text", "device: [cpu]\n", "device is", "expected text"),
    _file("a number for text", "data: {root: 1}\n", "data.root is 1", "expected text"),
    _file("NaN", "data: {bias: .nan}\n", "data.bias is nan", "expected a number"),
    _file("infinity", "classify: {learning_rate: .inf}\n", "classify.learning_rate is inf", "expected a number"),
    _file("minus infinity", "pseudo_masks: {threshold: -.inf}\n", "pseudo_masks.threshold is -inf", "expected"),
    _file("a number of 400 digits for a fraction", f"data: {{bias: 1{'0' * 400}}}\n", "data.bias", "expected a number"),
    _file("a number of 5,000 digits", f"seed: 1{'0' * 5000}\n", "own.yaml"),
    _file("text for a mapping", "data: {pairs: boat}\n", "data.pairs is", "expected a mapping"),
    _file("a number in a mapping", "data: {pairs: {boat: 1}}\n", "data.pairs is", "expected a mapping"),
    _file("text for a list", "cams: {scales: '1.0'}\n", "cams.scales is", "expected a list"),
    _file("an empty list", "cams: {scales: []}\n", "cams.scales is []", "expected"),
    _file("several problems", "seed: x\ndata: {bias: 2}\n", "own.yaml:1: seed", "own.yaml:2: data.bias"),
]

ROOTS = [
    Case(
        "configs",
        "no root",
        lambda folder: config(folder, "data: {reader: folder}\n"),
        ("data.root is not set", "give the folder of your images"),
    ),
    Case(
        "configs",
        "no such root",
        lambda folder: config(folder, "data: {reader: folder, root: none}\n"),
        ("none: there is no such folder", "expected images"),
    ),
]

VALUES = [
    _setting("seed", "-1", "expected 0 or more"),
    _setting("seed", "99999999999999999999", "expected"),
    _setting("checkpoint_seconds", "-1", "expected 0 or more"),
    _setting("precision", "fp8", 'expected one of "auto", "fp32", "bf16"'),
    _setting("device", "gpu", "set device to one of"),
    _setting("device", "cpu:x", "set device to one of"),
    _setting("device", "cuda:99", "set device to one of"),
    _setting("data.reader", "zip", 'expected one of "scenes"'),
    _setting("data.bias", "1.5", "expected a number from 0 to 1"),
    _setting("data.val_fraction", "-0.1", "expected a number from 0 to 1"),
    _setting("data.image_size", "0", "expected a number above 0"),
    _setting("data.image_size", "31", "expected 32 to 512"),
    _setting("data.image_size", "100000", "expected 32 to 512"),
    _setting("data.train_size", "-5", "expected a number above 0"),
    _setting("data.val_size", "0", "expected a number above 0"),
    _setting("data.workers", "-1", "expected 0 or more"),
    _setting("data.cache_mb", "-1", "expected 0 or more"),
    _setting("data.skip_bad_images", "maybe", "expected true or false"),
    _setting("data.pairs", "{}", "expected at least 2"),
    _setting("data.pairs", '{"boat": "moon", "cat": "sand"}', 'unknown context "moon"', "expected one of"),
    _setting("data.pairs", '{"bota": "water", "cat": "sand"}', 'unknown object "bota"', "expected one of"),
    _setting("vision_language.template", "a photo", "expected exactly one {}"),
    _setting("vision_language.template", "{} {}", "expected exactly one {}"),
    _setting("vision_language.score", "dot", 'expected one of "auto"'),
    _setting("vision_language.image_size", "-4", "expected a number above 0"),
    _setting("mask_generator.name", "grad", "mask_generator.name"),
    _setting("mask_generator.name", "os.system", "mask_generator.name"),
    _setting("mask_generator.name", "no.such.module.Generator", "mask_generator.name"),
    _setting("mask_generator.image_size", "0", "expected"),
    _setting("mask_generator.output_stride", "7", "set it to null"),
    _setting("classify.epochs", "0", "expected a number above 0"),
    _setting("classify.epochs", "1.5", "expected a whole number"),
    _setting("classify.batch_size", "0", "expected a number above 0"),
    _setting("classify.learning_rate", "0", "expected a number above 0"),
    _setting("classify.learning_rate", "nan", "expected a number"),
    _setting("classify.warmup", "2", "expected a number from 0 to 1"),
    _setting("match.lambda_background", "-1", "expected 0 or more"),
    _setting("prompts.length", "0", "expected a number above 0"),
    _setting("prompts.start", "random", 'expected one of "uniform", "words"'),
    _setting("prompts.words", "none.txt", "none.txt cannot be read", "give a text file"),
    _setting("refine.lambda_suppress", "-0.5", "expected 0 or more"),
    _setting("cams.scales", "[0]", "expected"),
    _setting("cams.scales", "[-1.0]", "expected"),
    _setting("cams.scales", "[many]", "expected a list"),
    _setting("cams.flip", "sometimes", "expected true or false"),
    _setting("pseudo_masks.threshold", "2", "expected"),
    _setting("pseudo_masks.refinement", '["crf"]', "expected"),
    _setting("pixel_adaptive.dilations", "[0]", "expected at least one number above 0"),
    _setting("dense_crf.label_confidence", "1", "expected a number between 0 and 1"),
    _setting("segment.image_size", "-1", "expected a number above 0"),
    _setting("segment.largest_scale", "0.1", "expected segment.smallest_scale"),
    _setting("evaluation.classes", '["moon"]', "moon is no class of the data", "expected background or any of"),
    _setting("report.images", "0", "expected a number above 0"),
    _setting("augmentation.random_erasing", "3", "expected"),
]

WORDS = [
    Case("configs", "no such file", _no_file, ("none.yaml cannot be read", "give a YAML file")),
    Case("configs", "a folder as file", _folder, ("own.yaml cannot be read", "give a YAML file")),
    Case("configs", "no file", lambda _: ["run", "--out", OUT], ("run needs --config FILE",)),
    Case("configs", "no such verb", lambda _: ["rnu"], ('there is no verb "rnu"', 'Did you mean "run"')),
    _words("no such option", ["--frce", "match"], "no option --frce", 'Did you mean "--force"'.replace("--", "")),
    _words("no such stage", ["--force", "matching"], 'no stage "matching"', "expected one of"),
    _words("no value", ["--seed"], "--seed has no value", "expected --seed VALUE"),
    _words("a stray word", ["seed"], 'unexpected argument "seed"', "expected --section.key VALUE"),
    _words("a setting of no section", ["--data.rot", "x"], "--data.rot is not a setting", 'Did you mean "root"'),
    _words("a section as setting", ["--data.", "x"], "--data.", "expected one of its settings"),
]

CASES = [*FILES, *ROOTS, *VALUES, *WORDS]
