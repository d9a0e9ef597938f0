"""Masks drawn from polygons and run lengths: order, crowds, and data that could harm."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coco_json import box, edit, json_path, write_coco
from matching import assert_mentions, mentions, refusal
from semples.data.coco import read_coco
from semples.data.coco_masks import _uncompressed, to_bitmap
from semples.data.truth import read_truth
from semples.errors import DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_coco(tmp_path / "coco")


def masks(root: Path) -> dict[str, Any]:
    dataset = read_coco(root)
    return {sample.id: read_truth(sample, 3) for sample in (*dataset.train, *dataset.val)}


def test_the_smaller_object_is_on_top(root: Path) -> None:
    expected = np.zeros((8, 10), np.uint8)
    expected[1:5, 1:7] = 1
    expected[2:4, 2:4] = 3
    drawn = masks(root)["a"]
    assert drawn.dtype == np.uint8
    np.testing.assert_array_equal(drawn, expected)


def test_a_crowd_is_ignored_below_the_objects_in_it(root: Path) -> None:
    expected = np.zeros((8, 10), np.uint8)
    expected[:, :3] = 255
    expected[0:2, 1] = 2
    np.testing.assert_array_equal(masks(root)["b"], expected)


def test_run_lengths_go_down_the_columns(root: Path) -> None:
    expected = np.zeros((8, 10), np.uint8)
    expected[:, 1] = 2
    expected[5:8, 5:9] = 1
    np.testing.assert_array_equal(masks(root)["c"], expected)


def test_an_image_without_annotations_is_background_where_others_have_masks(root: Path) -> None:
    assert masks(root)["d"].tolist() == np.zeros((8, 10)).tolist()


def test_equal_sizes_go_by_the_order_of_the_file(root: Path) -> None:
    def change(value: Any) -> None:
        for entry, category in zip(value["annotations"], (90, 3), strict=False):
            entry.update(segmentation=box(0, 0, 4, 4), category_id=category)

    edit(json_path(root), change)
    assert set(np.unique(masks(root)["a"])) == {0, 1}


def test_parts_of_one_object_are_one(root: Path) -> None:
    parts = [*box(0, 0, 2, 2), *box(5, 5, 10, 8)]
    edit(json_path(root), lambda value: value["annotations"][0].update(segmentation=parts))
    drawn = masks(root)["a"]
    assert (drawn[0:2, 0:2] == 3).all()  # 19 pixels, fewer than the car's 24: on top of it at (1, 1)
    assert (drawn == 3).sum() == 19


def test_the_file_is_not_opened_before_a_mask_is_asked_for(root: Path) -> None:
    dataset = read_coco(root)
    json_path(root).unlink()
    with pytest.raises(DataError, match=mentions(json_path(root))):
        read_truth(dataset.train[0], 3)


def test_reading_and_pickling_need_no_pycocotools(root: Path) -> None:
    """The library is loaded to draw, and samples go to worker processes as they are."""
    code = (
        "import sys, pickle; from pathlib import Path; from semples.data.coco import read_coco;"
        f"pickle.dumps(read_coco(Path({str(root)!r})).train); print('pycocotools' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
    sample = read_coco(root).train[0]
    np.testing.assert_array_equal(read_truth(pickle.loads(pickle.dumps(sample)), 3), read_truth(sample, 3))


def test_compressed_run_lengths_are_decoded_as_the_library_encodes_them() -> None:
    from pycocotools import mask as coco

    rng = np.random.default_rng(0)
    for _ in range(30):
        size = (int(rng.integers(1, 60)), int(rng.integers(1, 60)))
        bitmap = (rng.random(size) < rng.random()).astype(np.uint8)
        counts = coco.encode(np.asfortranarray(bitmap))["counts"].decode()
        np.testing.assert_array_equal(to_bitmap({"size": list(size), "counts": counts}, size, ""), bitmap == 1)


def test_compressed_run_lengths_by_hand() -> None:
    # "4" is 52 - 48 = 4; "T" is 84 - 48 = 32 + 4, so 4 and more follows, "1" is 1: 4 + 1 * 32 = 36.
    assert _uncompressed("4T1") == [4, 36]
    # From the fourth on differences: 1, 2, 3, 2 + 1, 3 - 1 ("O" is 79 - 48 = 31, and that is -1 in five bits).
    assert _uncompressed("1231O") == [1, 2, 3, 3, 2]


@pytest.mark.parametrize(
    ("segmentation", "named"),
    [
        (None, ("COCO", "polygons")),
        (True, ("COCO",)),
        ([], ("COCO",)),
        ([1, 2, 3, 4, 5, 6], ("COCO",)),
        ([[0, 0, 4, 4]], ("polygon", 4, "x1, y1")),
        ([[0, 0, 4, 4, 2, 2, 1]], ("polygon", 7)),
        ([[0, 0, 4, "x", 2, 2]], ("polygon", 6)),
        ([[0, 0, 4, float("nan"), 2, 2]], ("polygon", "8 x 10")),
        ([[0, 0, 4, 1e9, 2, 2]], ("polygon", "8 x 10")),
        ({"size": [10, 8], "counts": [80]}, ("run lengths", "[10, 8]", "[8, 10]")),
        ({"size": [8, 10], "counts": [3, 10**6]}, ("run lengths", 1000003, 80)),
        ({"size": [8, 10], "counts": [3, 2]}, ("run lengths", 5, 80)),
        ({"size": [8, 10], "counts": [3, -3, 80]}, ("run lengths", "whole numbers", 0)),
        ({"size": [8, 10], "counts": [80.0]}, ("run lengths", "whole numbers", 0)),
        ({"size": [8, 10], "counts": None}, ("run lengths", "whole numbers", 0)),
        ({"size": [8, 10]}, ("run lengths", "whole numbers", 0)),
        ({"size": [8, 10], "counts": "P"}, ("run lengths", "ends")),
        ({"size": [8, 10], "counts": "0\u20ac"}, ("run lengths", "character")),
        ({"size": [8, 10], "counts": "oooooo0"}, ("run lengths",)),
    ],
)  # fmt: skip
def test_damaged_segmentations_are_refused(segmentation: Any, named: Sequence[object]) -> None:
    text = refusal(lambda: to_bitmap(segmentation, (8, 10), "a.json, annotation 7"))
    assert text.startswith("a.json, annotation 7: ")
    assert_mentions(text, *named)


def test_a_damaged_segmentation_is_named_by_its_number(root: Path) -> None:
    edit(json_path(root), lambda value: value["annotations"][1].update(segmentation=[[1, 2]]))
    with pytest.raises(DataError, match=mentions("annotation 2", "image a", "polygon", 2)):
        masks(root)


def test_real_masks_cover_what_the_library_draws(shared_data: Path) -> None:
    """What no smaller object hides of an object has its class; what nothing covers is background."""
    from pycocotools.coco import COCO

    root = shared_data / "data/coco-mini"
    truth = COCO(str(root / "labels/val.json"))
    dataset = read_coco(root)
    for sample in dataset.val:
        drawn = read_truth(sample, 3)
        entries = truth.imgToAnns[int(sample.id)]
        objects = [(truth.annToMask(entry) == 1, entry) for entry in reversed(entries)]
        covered = np.zeros(sample.size, bool)
        for bitmap, entry in sorted(objects, key=lambda item: (item[1]["iscrowd"], int(item[0].sum()))):
            value = 255 if entry["iscrowd"] else dataset.catalogue.category_ids.index(entry["category_id"]) + 1
            assert (drawn[bitmap & ~covered] == value).all()
            covered |= bitmap
        assert ((drawn == 0) == ~covered).all()
