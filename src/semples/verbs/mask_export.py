"""Exports pseudo masks for other tools: COCO JSON, and PNGs in the layout of PASCAL VOC."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle

from semples.data.catalogues import PALETTE
from semples.data.images import read_mask, write_mask
from semples.errors import DataError
from semples.files import replacing, write_text
from semples.records import IGNORE_INDEX
from semples.rundir.dataset import read_dataset
from semples.rundir.layout import RunDirectory
from semples.rundir.manifest import require_done

IGNORED = "ignored"
"""Name of value 255 in labelmap.txt, as in CVAT's own VOC files."""


@dataclass(frozen=True)
class MaskedImage:
    """One training image and its pseudo mask.

    Attributes:
        id: Its id in the run.
        path: The image file.
        size: Height and width of the upright image.
        mask_path: The pseudo mask: 0 background, k + 1 for class k, 255 for pixels without a label.
    """

    id: str
    path: Path
    size: tuple[int, int]
    mask_path: Path

    @property
    def file_name(self) -> str:
        """Path of the image within an export's folder of images: its id with the suffix of its file."""
        return f"{self.id}{self.path.suffix}"


def export_coco(run: Path, with_images: bool = False) -> Path:
    """Write ``RUN/export/coco/annotations.json``: one annotation for each class and image, as compressed RLE.

    A category's id is k + 1 for class k, or its id in the COCO JSON the run was made from. Pixels of value 255
    belong to no annotation. Sizes and masks refer to the upright image.

    Args:
        run: A run directory whose stage pseudo-masks is done.
        with_images: Copy the images to ``RUN/export/coco/images/``.

    Returns:
        Path of the file.

    Raises:
        DataError: ``run`` is not such a run, or one of its files is missing or damaged.
    """
    classes, categories, images = _read_run(run)
    ids = {image.id: number for number, image in enumerate(images, start=1)}
    annotations: list[dict[str, Any]] = []
    for image in images:
        mask = read_mask(image.mask_path, image.size, len(classes))
        annotations += _annotations(mask, ids[image.id], categories, len(annotations) + 1)
    document = {
        "info": {"description": "pseudo masks made by semples from image-level tags"},
        "licenses": [],
        "images": [
            {"id": ids[image.id], "file_name": image.file_name, "height": image.size[0], "width": image.size[1]}
            for image in images
        ],
        "annotations": annotations,
        "categories": [
            {"id": category, "name": name, "supercategory": ""}
            for category, name in zip(categories, classes, strict=True)
        ],
    }
    folder = RunDirectory(run).coco_export
    if with_images:
        _copy_images(images, folder / "images")
    write_text(folder / "annotations.json", json.dumps(document, ensure_ascii=False))
    return folder / "annotations.json"


def _annotations(
    mask: NDArray[np.uint8], image_id: int, categories: Sequence[int], first_id: int
) -> Iterator[dict[str, Any]]:
    """Yield one COCO annotation per class of a mask uint8 [H, W], in ascending order."""
    present = [int(value) for value in np.unique(mask) if 0 < value < IGNORE_INDEX]
    for number, value in enumerate(present, start=first_id):
        encoded = rle.encode(np.asfortranarray(mask == value, dtype=np.uint8))
        yield {
            "id": number,
            "image_id": image_id,
            "category_id": categories[value - 1],
            "segmentation": {"size": list(mask.shape), "counts": encoded["counts"].decode("ascii")},
            "area": int(rle.area(encoded)),
            "bbox": [float(side) for side in rle.toBbox(encoded)],
            "iscrowd": 0,
        }


def export_voc(run: Path, with_images: bool = False) -> Path:
    """Write ``RUN/export/voc/``: masks in the layout of PASCAL VOC, CVAT's "Segmentation mask 1.1".

    ``SegmentationClass/ID.png`` (palette PNG, 255 = ignore), ``labelmap.txt`` (names and colors) and, last,
    the list of ids ``ImageSets/Segmentation/default.txt``. An earlier export is replaced.

    Args:
        run: A run directory whose stage pseudo-masks is done.
        with_images: Copy the images to ``JPEGImages/``.

    Returns:
        The folder.

    Raises:
        DataError: ``run`` is not such a run, one of its files is missing or damaged, or labelmap.txt cannot
            contain the name of a class.
    """
    classes, _, images = _read_run(run)
    labels = _label_map(classes)
    folder = RunDirectory(run).voc_export
    if folder.is_dir():
        shutil.rmtree(folder)
    for image in images:
        mask = read_mask(image.mask_path, image.size, len(classes))
        write_mask(folder / "SegmentationClass" / f"{image.id}.png", mask)
    if with_images:
        _copy_images(images, folder / "JPEGImages")
    write_text(folder / "labelmap.txt", labels)
    write_text(folder / "ImageSets" / "Segmentation" / "default.txt", "".join(f"{image.id}\n" for image in images))
    return folder


def _label_map(classes: Sequence[str]) -> str:
    """Return the text of labelmap.txt: a line ``name:r,g,b:parts:actions`` per mask value."""
    for name in classes:
        if ":" in name or name.startswith("#") or name == IGNORED:
            raise DataError(f'class "{name}": labelmap.txt cannot contain this name; export with --format coco')
    names = {0: "background", **dict(enumerate(classes, start=1)), IGNORE_INDEX: IGNORED}
    lines = [f"{name}:{','.join(map(str, PALETTE[value]))}::" for value, name in names.items()]
    return "\n".join(["# label:color_rgb:parts:actions", *lines]) + "\n"


def _read_run(run: Path) -> tuple[list[str], list[int], list[MaskedImage]]:
    """Return class names, category ids, and training images of a run whose pseudo masks are done."""
    directory = RunDirectory(run)
    require_done(directory, "pseudo-masks")
    dataset = read_dataset(directory.dataset)
    classes = list(dataset.catalogue.names)
    categories = list(dataset.catalogue.category_ids or range(1, len(classes) + 1))
    images = [
        MaskedImage(sample.id, sample.path, sample.size, directory.pseudo_mask(sample.id)) for sample in dataset.train
    ]
    return classes, categories, images


def _copy_images(images: Sequence[MaskedImage], folder: Path) -> None:
    for image in images:
        if not image.path.is_file():
            raise DataError(f"{image.path}: no longer exists; put it back, or export without images")
        with replacing(folder / image.file_name) as temporary:
            shutil.copyfile(image.path, temporary)
