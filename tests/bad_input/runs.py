"""Run directories that were edited by hand, damaged or half deleted, read by each verb that reads them."""

from __future__ import annotations

import atexit
import io
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from matching import mentions
from sample_data import SIZE, png_that_declares

from .case import OUT, Case, run
from .checkpoints import cut, write
from .files import payload, photos, predict, run_of

Spoil = Callable[[Path], object]
"""Damages a run directory."""

CAMS = "3-refine/cams/0.safetensors"
GENERATOR = "mask_generator.safetensors"
PROMPTS = "2-prompts/prompts.safetensors"
WORDS = "2-prompts/words.json"
MASK = "4-pseudo-masks/0.png"
MODEL = "5-segment/model"


@cache
def finished() -> Path:
    """A folder with photographs and a finished run on them, made once."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    status, lines = run(run_of(folder, photos(folder)), folder)
    assert status == 0, lines
    return folder


def _spoiled(folder: Path, spoil: Spoil) -> Path:
    for name in ("photos", OUT):
        shutil.copytree(finished() / name, folder / name)
    spoil(folder / OUT)
    return folder / "photos"


def _again(what: str, spoil: Spoil, *says: str | int, force: str = "", status: int = 2) -> Case:
    """The same command again, or from one stage on."""

    def build(folder: Path) -> Sequence[str]:
        return run_of(folder, _spoiled(folder, spoil), *(("--force", force) if force else ()))

    return Case("run directories", f"run, {what}", build, says, status, is_slow=bool(force or not status))


def _verb(verb: Sequence[str], what: str, spoil: Spoil, *says: str | int) -> Case:
    def build(folder: Path) -> Sequence[str]:
        _spoiled(folder, spoil)
        return [verb[0], OUT, *verb[1:]]

    return Case("run directories", f"{verb[0]}, {what}", build, says)


def _export(what: str, spoil: Spoil, *says: str | int, format: str = "voc", more: Sequence[str] = ()) -> Case:
    return _verb(("export", "--format", format, *more), what, spoil, *says)


def _prompts(what: str, content: bytes, *says: str | int) -> Case:
    return _verb(("prompts",), what, write(WORDS, content), *says)


def _predict(what: str, spoil: Spoil, *says: str | int) -> Case:
    def build(folder: Path) -> Sequence[str]:
        root = _spoiled(folder, spoil)
        (folder / OUT).rename(folder / "run")
        return predict("run", root / "0.png")

    return Case("run directories", f"predict, {what}", build, says)


def _report(what: str, name: str, content: bytes) -> Case:
    """A report is made of what is there, and names what is not."""

    def build(folder: Path) -> Sequence[str]:
        _spoiled(folder, write(name, content))
        return ["report", OUT]

    def then(folder: Path) -> str:
        html = (folder / OUT / "report.html").read_text()
        warnings = "".join(re.findall(r'class="notice warning">(.*?)</div>', html, re.DOTALL))
        return "" if re.search(mentions(name), warnings) else f"no warning of the report names {name}"

    return Case("run directories", f"report, {what}", build, (), status=0, then=then)


def _edit(name: str, change: Callable[[Any], Any]) -> Spoil:
    """Change a JSON file in place, or replace it by what comes back."""

    def spoil(directory: Path) -> None:
        content = json.loads((directory / name).read_text())
        changed = change(content)
        (directory / name).write_text(json.dumps(content if changed is None else changed))

    return spoil


def _entry(**values: Any) -> Spoil:
    """Change the first training image of dataset.json."""
    return _edit("dataset.json", lambda content: content["train"][0].update(values))


def _top(**values: Any) -> Spoil:
    return _edit("dataset.json", lambda content: content.update(values))


def _without(name: str) -> Spoil:
    return lambda directory: (directory / name).unlink()


def _tensors(name: str, **values: torch.Tensor | None) -> Spoil:
    """Change tensors of a safetensors file, or drop those of None."""

    def spoil(directory: Path) -> None:
        changed = {**load_file(directory / name), **values}
        save_file({key: value for key, value in changed.items() if value is not None}, directory / name)

    return spoil


def _network(name: str) -> Spoil:
    return lambda directory: save_file({"weight": torch.zeros(2)}, directory / name)


def _png(image: Image.Image) -> Spoil:
    return lambda directory: image.save(directory / MASK)


def _running(stage: str, checkpoint: bytes) -> Spoil:
    """A stage that was stopped, with this as its checkpoint."""

    def spoil(directory: Path) -> None:
        _edit("manifest.json", lambda content: content["stages"][stage].update(status="running"))(directory)
        (directory / stage / "checkpoint.pt").write_bytes(checkpoint)

    return spoil


def _saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


_DEEP = b"[" * 100_000
_CAMS = torch.zeros(1, *SIZE, dtype=torch.uint8)

MANIFEST = [
    _again(f"manifest.json {what}", write("manifest.json", content), "manifest.json")
    for what, content in {
        "no JSON": b"{",
        "empty": b"",
        "a list": b"[]",
        "a number": b"1",
        "without stages": b"{}",
        "with stages in a list": b'{"stages": []}',
        "with a stage of text": b'{"stages": {"0-classify": "done"}}',
        "with stages null": b'{"stages": null}',
        "in UTF-16": '{"stages": {}}'.encode("utf-16"),
        "nested 100,000 deep": _DEEP,
    }.items()
]

EVALUATION = [
    _again(f"evaluation.json {what}", write("evaluation.json", content), "evaluation.json", "--force evaluate")
    for what, content in {
        "no JSON": b"{",
        "empty": b"",
        "a list": b"[]",
        "with scores of text": b'{"cams": {"classify": "good"}}',
        "with a score of text": b'{"pseudo_masks": {"miou": "x", "false_positive": 0, "false_negative": 0}}',
        "without a score": b'{"pseudo_masks": {"images": 3}}',
    }.items()
]

RESULTS = (
    [
        _again(f"CAMs {what}", spoil, CAMS, "--force refine", force="pseudo-masks")
        for what, spoil in {
            "deleted": _without(CAMS),
            "of zero bytes": write(CAMS, b""),
            "cut in half": cut(CAMS, 0.5),
            "a pickle": write(CAMS, payload()),
            "without maps": _tensors(CAMS, cams=None),
            "without classes": _tensors(CAMS, classes=None),
            "of another size": _tensors(CAMS, cams=torch.zeros(1, 8, 8, dtype=torch.uint8)),
            "lying down": _tensors(CAMS, cams=_CAMS.transpose(1, 2).contiguous()),
            "of two classes": _tensors(CAMS, cams=torch.cat([_CAMS, _CAMS])),
            "of one dimension": _tensors(CAMS, cams=torch.zeros(3, dtype=torch.uint8)),
            "of floats": _tensors(CAMS, cams=_CAMS.float()),
            "of bfloat16": _tensors(CAMS, cams=_CAMS.bfloat16()),
            "of class 9": _tensors(CAMS, classes=torch.tensor([9])),
            "of class -1": _tensors(CAMS, classes=torch.tensor([-1])),
            "of another class": _tensors(CAMS, classes=torch.tensor([1])),
        }.items()
    ]
    + [
        _again(f"{stage} generator {what}", spoil, f"{folder}/{GENERATOR}", f"--force {stage}", force=force)
        for folder, stage, force in (("0-classify", "classify", "refine"), ("1-match", "match", "prompts"))
        for what, spoil in {
            "deleted": _without(f"{folder}/{GENERATOR}"),
            "of zero bytes": write(f"{folder}/{GENERATOR}", b""),
            "cut in half": cut(f"{folder}/{GENERATOR}", 0.5),
            "a pickle": write(f"{folder}/{GENERATOR}", payload()),
            "of another network": _network(f"{folder}/{GENERATOR}"),
            "with an unknown tensor": _tensors(f"{folder}/{GENERATOR}", more=torch.zeros(1)),
        }.items()
    ]
    + [
        _again(f"prompts {what}", spoil, PROMPTS, "--force prompts", force="refine")
        for what, spoil in {
            "deleted": _without(PROMPTS),
            "cut in half": cut(PROMPTS, 0.5),
            "of another name": _tensors(PROMPTS, vectors=None, other=torch.zeros(1)),
            "of one class": _tensors(PROMPTS, vectors=torch.zeros(1, 4, 8)),
            "of one dimension": _tensors(PROMPTS, vectors=torch.zeros(4)),
            "of whole numbers": _tensors(PROMPTS, vectors=torch.zeros(2, 4, 8, dtype=torch.int64)),
        }.items()
    ]
    + [
        _again(f"pseudo mask {what}", spoil, MASK, "--force pseudo-masks", force="segment")
        for what, spoil in {
            "deleted": _without(MASK),
            "of zero bytes": write(MASK, b""),
            "cut in half": cut(MASK, 0.5),
            "of RGB": _png(Image.new("RGB", SIZE[::-1])),
            "of another size": _png(Image.new("L", (8, 8))),
            "of class 9": _png(Image.new("L", SIZE[::-1], 9)),
        }.items()
    ]
    + [
        _again("a checkpoint that is a pickle which runs code", _running("0-classify", payload()), status=0),
        _again("a checkpoint cut in half", _running("0-classify", _saved({"module": {}})[:200]), status=0),
        _again(
            "the checkpoint of another training",
            _running("0-classify", _saved({"module": {}})),
            "classify/checkpoint.pt",
        ),
        _again("a checkpoint of a list", _running("0-classify", _saved([1])), "classify/checkpoint.pt"),
        _again(
            "a log of damaged lines",
            write("metrics.jsonl", b'{"stage": 1\n\xff\xfe\n[]\n1\n{"stage": "segment"}\n'),
            force="segment",
            status=0,
        ),
    ]
)

EXPORTS = [
    _export(f"dataset.json {what}", spoil, "dataset.json")
    for what, spoil in {
        "no JSON": write("dataset.json", b"{"),
        "empty": write("dataset.json", b""),
        "a list": write("dataset.json", b"[]"),
        "without images": _edit("dataset.json", lambda content: {"classes": content["classes"]}),
        "with images of text": _top(train="0"),
        "without classes": _top(classes=[]),
        "with a class twice": _top(classes=["boat", "boat"]),
        "with classes of text": _top(classes="boat"),
        "with an id that leaves the folder": _entry(id="../../0"),
        "with an id that leaves the folder by a detour": _entry(id="a/../../../0"),
        "with an absolute id": _entry(id="/tmp/0"),
        "with an empty id": _entry(id=""),
        "with an id of a number": _entry(id=0),
        "with an id twice": _entry(id="1"),
        "with a height of text": _entry(height="many"),
        "with a height of 0": _entry(height=0),
        "with a path of null": _entry(path=None),
        "with a tag of class 9": _entry(tags=[9]),
        "with tags of text": _entry(tags="boat"),
        "with one category id for two classes": _top(category_ids=[7]),
        "with category ids of text": _top(category_ids=["a", "b"]),
    }.items()
] + [
    _export("dataset.json deleted", _without("dataset.json"), "out", "dataset.json"),
    _export("manifest.json deleted", _without("manifest.json"), "out", "manifest.json"),
    _export("manifest.json a list", write("manifest.json", b"[]"), "manifest.json"),
    _export(
        "a stage of text", _edit("manifest.json", lambda _: {"stages": {"4-pseudo-masks": "done"}}), "manifest.json"
    ),
    _export(
        "a stage not done",
        _edit("manifest.json", lambda content: content["stages"].clear()),
        "out",
        "pseudo-masks",
        "run",
    ),
    _export(
        "an id out of the folder, as COCO",
        _entry(id="../../0"),
        "dataset.json",
        "../../0",
        format="coco",
        more=("--with-images",),
    ),
    _export("no such image", _entry(path="/none/0.png"), "/none/0.png", format="coco", more=("--with-images",)),
    _export("a mask deleted", _without(MASK), MASK),
    _export("a mask of another size", _png(Image.new("L", (8, 8))), MASK, "8 x 8", "40 x 48"),
    _export("a mask of class 9", _png(Image.new("L", SIZE[::-1], 9)), MASK, 9, 255, format="coco"),
    _export("a mask that declares 20,000 x 20,000", write(MASK, png_that_declares(20_000, 20_000, 0)), MASK, "large"),
]

OTHERS = [
    _prompts("words.json no JSON", b"{", WORDS),
    _prompts("words.json a list", b"[]", WORDS, "--force prompts"),
    _prompts("words.json without words", b"{}", WORDS, "--force prompts"),
    _prompts("words.json with words of text", b'{"words": "water"}', WORDS, "--force prompts"),
    _prompts("words.json without epochs", b'{"words": {"boat": []}}', WORDS, "--force prompts"),
    _prompts("words.json with a word alone", b'{"words": {"boat": [["water"]]}}', WORDS, "--force prompts"),
    _prompts("words.json with scores of text", b'{"words": {"boat": [[["a", "b"]]]}}', WORDS, "--force prompts"),
    _verb(("prompts",), "words.json deleted", _without(WORDS), WORDS),
    _predict("model deleted", lambda directory: shutil.rmtree(directory / MODEL), "run", "5-segment/model"),
    _predict("weights cut in half", cut(f"{MODEL}/model.safetensors", 0.5), MODEL),
    _predict("weights a pickle", write(f"{MODEL}/model.safetensors", payload()), MODEL),
    _predict("config no JSON", write(f"{MODEL}/config.json", b"{"), MODEL),
    _predict("preprocessor no JSON", write(f"{MODEL}/preprocessor_config.json", b"{"), MODEL),
    Case("run directories", "report, no such folder", lambda _: ["report", "none"], ("none", "dataset.json")),
]

REPORTS = [
    _report(f"{name} {what}", name, content)
    for name in ("dataset.json", "manifest.json", "evaluation.json", "config.yaml", WORDS, "metrics.jsonl")
    for what, content in {"a list": b"[]\n", "cut short": b'{"a": [', "nested deep": _DEEP + b"\n"}.items()
] + [
    _report(
        "evaluation.json with a score of text", "evaluation.json", b'{"classes": [], "pseudo_masks": {"miou": "x"}}'
    ),
    _report("dataset.json with a path that leaves", "dataset.json", b'{"classes": ["a"], "train": [{"id": "../x"}]}'),
    _report("skipped.json a list", "skipped.json", b"[]"),
]

CASES = [*MANIFEST, *EVALUATION, *RESULTS, *EXPORTS, *OTHERS, *REPORTS]
