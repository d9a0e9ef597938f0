"""A tiny data set in COCO's layout, written by hand: category ids with gaps, polygons, run lengths, a crowd."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CATEGORIES = [{"id": 90, "name": "tie"}, {"id": 3, "name": "car"}, {"id": 17, "name": "cat"}]


def box(left: int, top: int, right: int, bottom: int) -> list[list[int]]:
    """Polygon of a rectangle whose pixels are [top:bottom, left:right]."""
    return [[left, top, right, top, right, bottom, left, bottom]]


def annotation(number: int, image: int, category: int, segmentation: Any, **more: Any) -> dict[str, Any]:
    return {"id": number, "image_id": image, "category_id": category, "segmentation": segmentation, **more}


def content(images: dict[int, str], annotations: list[dict[str, Any]], size: tuple[int, int]) -> dict[str, Any]:
    height, width = size
    listed = [{"id": number, "file_name": name, "height": height, "width": width} for number, name in images.items()]
    return {"images": listed, "annotations": annotations, "categories": CATEGORIES}


def write_coco(root: Path, size: tuple[int, int] = (8, 10)) -> Path:
    """Four training images (one of them without a label) and two held out, in the layout of 2017.

    Image 1: a car of 6 x 4 with a tie of 2 x 2 on it (first in the file). Image 2: a crowd of cats. Image 5: a cat as
    run lengths and a car. Image 6: nothing. Held out, image 9: nothing; image 10: a car.
    """
    height, width = size
    crowd = {"size": [height, width], "counts": [0, 3 * height, height * (width - 3)]}
    cat = {"size": [height, width], "counts": [height, height, height * (width - 2)]}
    train = [
        annotation(1, 1, 90, box(2, 2, 4, 4)),
        annotation(2, 1, 3, box(1, 1, 7, 5)),
        annotation(3, 2, 17, crowd, iscrowd=1),
        annotation(4, 2, 17, box(1, 0, 2, 2), iscrowd=0),
        annotation(5, 5, 17, cat),
        annotation(6, 5, 3, box(5, 5, 9, 8)),
    ]
    images = {1: "a.jpg", 2: "b.jpg", 5: "c.jpg", 6: "empty.jpg"}
    rng = np.random.default_rng(0)
    for split, names in (("train2017", list(images.values())), ("val2017", ["d.jpg", "e.jpg"])):
        (root / split).mkdir(parents=True)
        for name in names:
            Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8)).save(root / split / name)
    (root / "annotations").mkdir()
    write_json(root, "train", content(images, train, size))
    write_json(root, "val", content({9: "d.jpg", 10: "e.jpg"}, [annotation(7, 10, 3, box(0, 0, 5, 5))], size))
    return root


def json_path(root: Path, split: str = "train") -> Path:
    return root / "annotations" / f"instances_{split}2017.json"


def write_json(root: Path, split: str, value: Any) -> None:
    json_path(root, split).write_text(json.dumps(value))


def edit(path: Path, change: Callable[[Any], object]) -> None:
    """Apply a change to the JSON value in a file."""
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def strip_segmentations(path: Path) -> None:
    """Take every segmentation out of a file, and what could give one away."""

    def change(value: Any) -> None:
        for entry in value["annotations"]:
            entry.pop("segmentation", None)

    edit(path, change)
