"""COCO and VOC files, read back by others: pycocotools, Pillow, and lines by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools.coco import COCO

from matching import mentions
from semples import export
from semples.data.images import write_mask
from semples.errors import ConfigError, DataError
from semples.files import write_json

CLASSES = ["boat", "traffic light"]
MASKS = {
    "a": [[0, 1, 1, 255], [2, 0, 1, 255], [2, 2, 0, 0]],
    "deep/b": [[0, 0, 0, 0], [0, 255, 255, 0], [0, 0, 0, 0]],
    "c": [[2, 0, 0, 2], [0, 0, 0, 0], [2, 0, 0, 2]],
}


def make_run(tmp_path: Path, status: str = "done", **more: Any) -> Path:
    """A run whose pseudo masks are those above; its held-out image has none."""
    run = tmp_path / "run"
    entries = []
    for name in (*MASKS, "held-out"):
        path = tmp_path / "photos" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 3), (90, 90, 90)).save(path)
        entries.append({"id": name, "path": str(path), "height": 3, "width": 4, "tags": [0]})
    for name, rows in MASKS.items():
        write_mask(run / "4-pseudo-masks" / f"{name}.png", np.array(rows, np.uint8))
    write_json(run / "dataset.json", {"classes": CLASSES, "train": entries[:3], "val": entries[3:], **more})
    write_json(run / "manifest.json", {"stages": {"4-pseudo-masks": {"status": status}}})
    return run


def mask_from_annotations(coco: COCO, image: int, values: dict[int, int]) -> NDArray[np.uint8]:
    """Paint the annotations of an image: value of a category -> its pixels."""
    info = coco.loadImgs([image])[0]
    mask = np.zeros((info["height"], info["width"]), np.uint8)
    for annotation in coco.loadAnns(coco.getAnnIds([image])):
        pixels = coco.annToMask(annotation).astype(bool)
        assert not mask[pixels].any()  # nobody's pixels twice
        assert annotation["area"] == pixels.sum()
        mask[pixels] = values[annotation["category_id"]]
    return mask


@pytest.mark.parametrize("ids", [None, [9, 10]])
def test_coco_gives_the_same_pixels(tmp_path: Path, ids: list[int] | None) -> None:
    more: dict[str, Any] = {} if ids is None else {"category_ids": ids}
    path = export(make_run(tmp_path, **more), "coco")
    assert path == tmp_path / "run" / "export" / "coco" / "annotations.json"
    coco = COCO(path)
    first, second = ids or (1, 2)
    assert [(entry["id"], entry["name"]) for entry in coco.dataset["categories"]] == [
        (first, "boat"),
        (second, "traffic light"),
    ]
    names = {entry["file_name"]: entry["id"] for entry in coco.dataset["images"]}
    assert list(names) == ["a.jpg", "deep/b.jpg", "c.jpg"]
    for name, rows in MASKS.items():
        expected = np.array(rows, np.uint8)
        expected[expected == 255] = 0
        found = mask_from_annotations(coco, names[f"{name}.jpg"], {first: 1, second: 2})
        np.testing.assert_array_equal(found, expected)


def test_coco_by_hand(tmp_path: Path) -> None:
    """Image a: class boat covers columns 1 and 2 of row 0, and column 2 of row 1."""
    document = json.loads(export(make_run(tmp_path), "coco").read_text())
    boat = document["annotations"][0]
    assert boat["bbox"] == [1.0, 0.0, 2.0, 2.0]
    assert (boat["id"], boat["image_id"], boat["category_id"], boat["area"], boat["iscrowd"]) == (1, 1, 1, 3, 0)
    assert boat["segmentation"]["size"] == [3, 4]
    assert isinstance(boat["segmentation"]["counts"], str)
    assert [entry["id"] for entry in document["annotations"]] == [1, 2, 3]
    assert [entry["image_id"] for entry in document["annotations"]] == [1, 1, 3]


def test_voc_layout(tmp_path: Path) -> None:
    folder = export(make_run(tmp_path), "voc")
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    masks = ["SegmentationClass/a.png", "SegmentationClass/c.png", "SegmentationClass/deep/b.png"]
    assert files == ["ImageSets/Segmentation/default.txt", *masks, "labelmap.txt"]
    assert (folder / "ImageSets/Segmentation/default.txt").read_text() == "a\ndeep/b\nc\n"
    assert (folder / "labelmap.txt").read_text().splitlines() == [
        "# label:color_rgb:parts:actions",
        "background:0,0,0::",
        "boat:128,0,0::",
        "traffic light:0,128,0::",
        "ignored:224,224,192::",
    ]


def test_voc_pixels_as_indices_and_as_colors(tmp_path: Path) -> None:
    """FiftyOne reads the indices; CVAT decodes the palette and looks its colors up in labelmap.txt."""
    folder = export(make_run(tmp_path), "voc")
    lines = [line.split(":") for line in (folder / "labelmap.txt").read_text().splitlines()[1:]]
    values = dict(zip((tuple(map(int, line[1].split(","))) for line in lines), (0, 1, 2, 255), strict=True))
    for name, rows in MASKS.items():
        image = Image.open(folder / "SegmentationClass" / f"{name}.png")
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), rows)
        colors = np.asarray(image.convert("RGB"))
        assert [[values[tuple(map(int, pixel))] for pixel in row] for row in colors] == rows


def test_a_second_export_leaves_nothing_of_the_first(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    stale = export(run, "voc") / "SegmentationClass" / "old.png"
    stale.write_bytes(b"")
    export(run, "voc")
    assert not stale.exists()


@pytest.mark.parametrize(("format", "where"), [("coco", "images"), ("voc", "JPEGImages")])
def test_with_images(tmp_path: Path, format: Any, where: str) -> None:
    run = make_run(tmp_path)
    export(run, format, with_images=True)
    copied = run / "export" / format / where / "deep" / "b.jpg"
    assert copied.read_bytes() == (tmp_path / "photos" / "deep" / "b.jpg").read_bytes()
    assert not copied.is_symlink()
    (tmp_path / "photos" / "c.jpg").unlink()
    with pytest.raises(DataError, match=mentions("photos/c.jpg")):
        export(run, format, with_images=True)


@pytest.mark.parametrize("format", ["coco", "voc"])
def test_runs_that_are_not_ready(tmp_path: Path, format: Any) -> None:
    with pytest.raises(DataError, match=mentions(tmp_path, "dataset.json")):
        export(tmp_path, format)
    run = make_run(tmp_path, status="running")
    with pytest.raises(DataError, match=mentions(run, "pseudo-masks", "running", "semples run")):
        export(run, format)
    assert not (run / "export").exists()


@pytest.mark.parametrize("format", ["coco", "voc"])
def test_a_missing_or_wrong_mask_is_named(tmp_path: Path, format: Any) -> None:
    run = make_run(tmp_path)
    write_mask(run / "4-pseudo-masks" / "c.png", np.zeros((4, 3), np.uint8))
    with pytest.raises(DataError, match=mentions("c.png", "4 x 3", "3 x 4")):
        export(run, format)
    (run / "4-pseudo-masks" / "c.png").unlink()
    with pytest.raises(DataError, match=mentions("c.png", "No such file or directory")):
        export(run, format)
    folder = run / "export" / format
    assert not (folder / "annotations.json").exists()
    assert not (folder / "ImageSets").exists()


@pytest.mark.parametrize("name", ["a:b", "#1", "ignored"])
def test_names_that_labelmap_cannot_hold(tmp_path: Path, name: str) -> None:
    run = make_run(tmp_path, classes=[name, "cat"])
    with pytest.raises(DataError, match=mentions(name, "labelmap.txt", "--format coco")):
        export(run, "voc")
    assert COCO(export(run, "coco")).cats[1]["name"] == name


def test_an_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=mentions("format", "yolo", "coco", "voc", "onnx")):
        export(tmp_path, "yolo")  # type: ignore[arg-type]
