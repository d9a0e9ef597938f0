"""A small fake run directory, and a parser for the report that is made of it."""

from __future__ import annotations

import base64
import io
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

from semples.html_report import write_report
from semples.rundir.layout import MAIN_STAGES, stage_folder

HOSTILE = "<script>alert('x')</script>"
CLASSES = ["cat", HOSTILE]
SIZE = (6, 8)  # height, width: not square, small enough to be drawn with crisp pixels
VOID_TAGS = {"meta", "link", "img", "input"}


def scores(split: str, miou: float, **more: float) -> dict[str, Any]:
    iou = {"background": 0.9, "cat": miou, HOSTILE: None}
    rates = {"miou": miou, "false_positive": 0.25, "false_negative": 0.125}
    return {"split": split, "images": 3, "iou": iou, **rates, **more}


EVALUATION = {
    "classes": CLASSES,
    "cams": {
        "classify": scores("train", 0.5, threshold=0.4, oracle_threshold=0.31, oracle_miou=0.52),
        "match": None,
        "refine": scores("train", 0.612, threshold=0.35, oracle_threshold=0.3, oracle_miou=0.63),
    },
    "pseudo_masks": scores("train", 0.65, coverage=0.934),
    "segmentation": {"train": scores("train", 0.7), "val": scores("val", 0.68)},
    "supervised_bound": None,
}


def put_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def put_mask(path: Path, values: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values)
    image.putpalette([0] * 768)
    image.save(path)


def put_cams(path: Path, classes: list[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ramp = np.linspace(0, 255, SIZE[0] * SIZE[1]).reshape(SIZE).astype(np.uint8)
    save_file({"cams": np.stack([ramp] * len(classes)), "classes": np.array(classes, dtype=np.int64)}, path)


def metrics(stage: str, epoch: int, loss: float, parts: dict[str, float], **more: Any) -> dict[str, Any]:
    speed = {"learning_rate": 1e-3 / epoch, "images_per_second": 100.0}
    return {"stage": stage, "epoch": epoch, "epochs": 2, "loss": loss, "parts": parts, **speed, **more}


def make_run(tmp_path: Path) -> Path:
    """A small finished run: three training images (one inside a folder), one held out."""
    directory = tmp_path / "run"
    mask = np.zeros(SIZE, dtype=np.uint8)
    mask[2:, 3:] = 1
    mask[0, 0] = 255
    entries = []
    for id_, tags in (("a", [0]), ("folder/b", [0, 1]), ("c", []), ("held", [1])):
        path = tmp_path / "images" / f"{id_}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (SIZE[1], SIZE[0]), (100, 100, 100)).save(path)
        entries.append({"id": id_, "path": str(path), "height": SIZE[0], "width": SIZE[1], "tags": tags})
        put_mask(directory / f"6-evaluate/truth/{id_}.png", mask)
        if id_ == "held":
            put_mask(directory / f"5-segment/predictions/{id_}.png", mask)
            continue
        put_mask(directory / f"4-pseudo-masks/{id_}.png", mask)
        put_mask(directory / f"6-evaluate/predictions/{id_}.png", mask)
        for stage in ("0-classify", "1-match", "3-refine"):
            if tags:
                put_cams(directory / stage / f"cams/{id_}.safetensors", tags)
    dataset = {"classes": CLASSES, "prompt_names": ["kitten", HOSTILE]}
    put_json(directory / "dataset.json", {**dataset, "train": entries[:3], "val": entries[3:]})
    put_json(directory / "6-evaluate/samples.json", {"train": ["a", "folder/b", "c"], "val": ["held"]})
    done = {"status": "done", "digest": "0", "outputs": [], "seconds": 75.0, "peak_memory_mb": 812.4}
    warned = {**done, "warnings": ["12 % of the scores of loss background were clamped"]}
    put_json(
        directory / "manifest.json",
        {"stages": {**dict.fromkeys(map(stage_folder, MAIN_STAGES), done), "1-match": warned}},
    )
    put_json(directory / "evaluation.json", EVALUATION)
    words = {"cat": [[["cat", 0.9]], [["sofa", 0.8], ["rug", 0.4]]], HOSTILE: [[["sea", 0.5]], [["sea", 0.6]]]}
    put_json(directory / "2-prompts/words.json", {"epochs": [1, 2], "words": words})
    log = [
        metrics("classify", 1, 0.7, {"classification": 0.7}),
        metrics("match", 1, 1.5, {"foreground": 1.0, "background": 0.5}),
        metrics("match", 2, 1.2, {"foreground": 0.8, "background": 0.4}),
    ]
    (directory / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
    (directory / "config.yaml").write_text("device: cpu\ndata: {bias: 0.5, root: '<b>bold</b>'}\n")
    return directory


class Page(HTMLParser):
    """A parsed report: every tag with its attributes, table rows as text, and whether all tags close."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID_TAGS:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "pre", "script"):
            self.text += data
        if self.open and ({"td", "th"} & set(self.open)):
            self.rows[-1][-1] += data.strip()

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def row(self, first: str) -> list[str]:
        return next(row for row in self.rows if row[0] == first)


def report(directory: Path) -> Page:
    page = Page(write_report(directory).read_text(encoding="utf-8"))
    assert page.open == []
    return page


def viewer_data(directory: Path) -> dict[str, Any]:
    """What the report tells its script."""
    html = write_report(directory).read_text(encoding="utf-8")
    start = html.index(">", html.index('id="viewer-data"')) + 1
    found: dict[str, Any] = json.loads(html[start : html.index("</script>", start)])
    return found


def decode(source: str | None) -> np.ndarray[Any, Any]:
    assert source is not None
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",", 1)[1]))).convert("RGB"))
