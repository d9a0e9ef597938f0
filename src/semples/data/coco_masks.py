"""Ground-truth masks drawn from COCO's polygons and run lengths, when the evaluation asks for one.

Crowds are 255 (ignore) and lie below; objects are drawn from the largest to the smallest, so that a cup stands on
its table. Of two of one size, the later in the file is on top. What no annotation covers is background.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semples.data.coco_table import read_annotation_json
from semples.errors import DataError
from semples.records import IGNORE_INDEX, Sample

Bitmap = NDArray[np.bool_]
"""Pixels of an object, [H, W]."""


@dataclass(frozen=True, eq=False)
class CocoMasks:
    """The masks of one annotation file. The file is opened when the first mask is drawn.

    Attributes:
        path: The JSON file.
        image_ids: Sample id -> id of the image in the file.
        values: Category id -> value in masks.
    """

    path: Path
    image_ids: Mapping[str, int]
    values: Mapping[int, int]

    def draw(self, sample: Sample) -> NDArray[np.uint8]:
        """Return the mask of a sample, uint8 [H, W]: 0 background, k + 1 for class k, 255 for crowds.

        Raises:
            DataError: If a segmentation is neither polygons nor run lengths of the image's size.
        """
        layers = []
        for entry in self._annotations.get(self.image_ids[sample.id], ()):
            where = f"{self.path}, annotation {entry.get('id')} of image {sample.id}"
            bitmap = to_bitmap(entry.get("segmentation"), sample.size, where)
            is_object = not entry.get("iscrowd")
            value = self.values[entry["category_id"]] if is_object else IGNORE_INDEX
            layers.append((is_object, -int(bitmap.sum()), value, bitmap))
        mask = np.zeros(sample.size, np.uint8)
        for _, _, value, bitmap in sorted(layers, key=lambda layer: layer[:2]):
            mask[bitmap] = value
        return mask

    @cached_property
    def _annotations(self) -> dict[int, list[dict[str, Any]]]:
        by_image = defaultdict(list)
        for entry in read_annotation_json(self.path)["annotations"]:
            by_image[entry["image_id"]].append(entry)
        return by_image


def to_bitmap(segmentation: Any, size: tuple[int, int], where: str) -> Bitmap:
    """Draw one segmentation: polygons, or run lengths as a list (crowds) or as COCO's compressed text.

    Args:
        segmentation: The value in the JSON file.
        size: Height and width of the image.
        where: What to name in an error.

    Raises:
        DataError: If it is something else, or does not fit the image. Nothing unchecked reaches C code.
    """
    from pycocotools import mask as coco  # slow to import, and only the evaluation needs it

    height, width = size
    if isinstance(segmentation, dict):
        runs = _checked_runs(segmentation, size, where)
        rle = coco.frPyObjects({"size": [height, width], "counts": runs}, height, width)
    else:
        polygons = _checked_polygons(segmentation, size, where)
        rle = coco.merge(coco.frPyObjects(polygons, height, width))
    return np.asarray(coco.decode(rle), dtype=np.bool_)


def _checked_polygons(polygons: Any, size: tuple[int, int], where: str) -> list[list[float]]:
    if not isinstance(polygons, list) or not polygons or not all(isinstance(polygon, list) for polygon in polygons):
        raise DataError(f"{where}: no segmentation of COCO; expected a list of polygons, or run lengths (RLE)")
    reach = 2 * max(size)
    for polygon in polygons:
        if len(polygon) < 6 or len(polygon) % 2 or not all(isinstance(number, (int, float)) for number in polygon):
            raise DataError(f"{where}: a polygon of {len(polygon)} values, expected x1, y1, x2, y2, x3, y3, ...")
        if not all(math.isfinite(number) and abs(number) <= reach for number in polygon):
            raise DataError(f"{where}: a polygon leaves the image of {size[0]} x {size[1]} pixels by far")
    return polygons


def _checked_runs(rle: Mapping[str, Any], size: tuple[int, int], where: str) -> Sequence[int]:
    if rle.get("size") != list(size):
        raise DataError(f"{where}: run lengths for size {rle.get('size')}, but the image has {list(size)}")
    counts = rle.get("counts")
    try:
        runs = _uncompressed(counts) if isinstance(counts, str) else counts
        if not isinstance(runs, list) or not all(type(run) is int and run >= 0 for run in runs):
            raise ValueError("they are no list of whole numbers from 0")
        if sum(runs) != size[0] * size[1]:
            raise ValueError(f"they cover {sum(runs)} pixels of {size[0] * size[1]}")
    except ValueError as error:
        raise DataError(f"{where}: damaged run lengths, {error}; download or export the file again") from error
    return runs


def _uncompressed(text: str) -> list[int]:
    """Decode COCO's run lengths (``rleFrString`` of its mask API).

    Each character holds, above 48, five bits of a number and a sixth that says that more follow, lowest first; the
    number is signed, and from the fourth on it is the difference from the number two before.
    """
    runs: list[int] = []
    number = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"{character!r} is no character of them")
        number |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            number -= 1 << shift
        runs.append(number + (runs[-2] if len(runs) > 2 else 0))
        number = shift = 0
    if shift:
        raise ValueError("the text ends inside a number")
    return runs
