"""Draws ground-truth masks from COCO's polygons and run lengths, when the evaluation asks for them.

Crowds are 255 (ignore) and lie at the bottom; objects are drawn from largest to smallest, so that a cup covers its
table. Of two objects of equal size, the later one in the file is on top. Uncovered pixels are background.
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
    """The masks of one annotation file, which is opened when the first mask is drawn.

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
            DataError: A segmentation is neither polygons nor run lengths of the image's size.
        """
        layers = []
        for entry in self._annotations.get(self.image_ids[sample.id], ()):
            where = f"{self.path}, annotation {entry.get('id')} of image {sample.id}"
            bitmap = to_bitmap(entry.get("segmentation"), sample.size, where)
            is_object = not entry.get("iscrowd")
            value = self.values[entry["category_id"]] if is_object else IGNORE_INDEX
            layers.append((is_object, -int(bitmap.sum()), value, bitmap))
        mask = np.zeros(sample.size, np.uint8)
        # Sorted by (is_object, -area): crowds first, then large before small. The sort is stable, so that of equals
        # the later one in the file is painted last.
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
        where: Place named in an error.

    Raises:
        DataError: It is something else, or does not fit the image. Nothing unchecked reaches C code.
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
        raise DataError(f"{where}: not a COCO segmentation; expected a list of polygons, or run lengths (RLE)")
    reach = 2 * max(size)  # annotations leave their image by a few pixels; far outside, drawing would take forever
    for polygon in polygons:
        if len(polygon) < 6 or len(polygon) % 2 or not all(isinstance(number, (int, float)) for number in polygon):
            raise DataError(f"{where}: a polygon has {len(polygon)} values; expected x1, y1, x2, y2, x3, y3, ...")
        if not all(math.isfinite(number) and abs(number) <= reach for number in polygon):
            raise DataError(
                f"{where}: a polygon is far outside the image of {size[0]} x {size[1]} pixels; correct or remove it"
            )
    return polygons


def _checked_runs(rle: Mapping[str, Any], size: tuple[int, int], where: str) -> Sequence[int]:
    if rle.get("size") != list(size):
        raise DataError(
            f"{where}: run lengths for size {rle.get('size')}, but the image has {list(size)}; correct one of them"
        )
    counts = rle.get("counts")
    try:
        runs = _uncompressed(counts) if isinstance(counts, str) else counts
        if not isinstance(runs, list) or not all(type(run) is int and run >= 0 for run in runs):
            raise ValueError("not a list of whole numbers from 0")
        if sum(runs) != size[0] * size[1]:
            raise ValueError(f"{sum(runs)} of {size[0] * size[1]} pixels covered")
    except ValueError as error:
        raise DataError(f"{where}: damaged run lengths ({error}); download or export the file again") from error
    return runs


def _uncompressed(text: str) -> list[int]:
    """Decode COCO's run lengths (``rleFrString`` of its mask API).

    Each character minus 48 holds five bits of a number, lowest first, and a sixth bit that is set if more follow.
    Numbers are signed; from the fourth on, each is the difference from the number two places before.
    """
    runs: list[int] = []
    number = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"invalid character {character!r}")
        number |= (bits & 31) << shift
        shift += 5
        if bits & 32:  # more bits of this number follow
            continue
        if bits & 16:  # the highest bit is set: the number is negative (two's complement)
            number -= 1 << shift
        runs.append(number + (runs[-2] if len(runs) > 2 else 0))
        number = shift = 0
    if shift:
        raise ValueError("the text ends inside a number")
    return runs
