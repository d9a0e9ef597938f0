"""Reads data sets in MS COCO's layout: images, and JSON instance annotations that name the classes in them.

Segmentations are ignored here; ``coco_masks`` draws them when the evaluation asks for them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from semples.config.data import DataConfig
from semples.data.catalogues import COCO, Phrases, catalogue_from_names
from semples.data.coco_masks import CocoMasks
from semples.data.coco_table import CocoImage, CocoTable, read_table
from semples.data.images import image_size
from semples.data.phrases import synonyms_except
from semples.data.restricted_npy import read_class_labels
from semples.data.tags import flag_indices, require_inside
from semples.data.validation import SizeOf, require_some
from semples.errors import ConfigError, DataError
from semples.records import ClassCatalogue, Dataset, Sample

AUTO = "auto"

_TRAIN_FILES = (
    "annotations/instances_train2017.json",
    "annotations/instances_train2014.json",
    "annotations/instances_train.json",
    "annotations/train.json",
    "labels/train.json",
)
_LABEL_FILES = ("cls_labels_coco.npy", "cls_labels.npy")


@dataclass(frozen=True)
class CocoConfig(DataConfig):
    """Reader coco: images, and instance annotations in JSON."""

    labels: Literal["auto", "npy"] = "auto"
    """Where image-level labels are read from: auto takes the annotations."""
    train_annotations: str = AUTO
    """JSON file of the training instances, relative to the root; auto finds the usual names."""
    val_annotations: str | None = AUTO
    """JSON file of the held-out images, or null for none; auto: beside the training one, "val" for "train"."""
    train_images: str = AUTO
    """Folder of the training images, relative to the root; auto: train2017 and the like, or images."""
    val_images: str = AUTO
    """Folder of the held-out images."""

    @classmethod
    def recognizes(cls, folder: Path) -> bool:
        """Return whether the folder has annotations in JSON and no tags.csv."""
        has_json = any(path for place in ("annotations", "labels") for path in (folder / place).glob("*.json"))
        return has_json and not (folder / "tags.csv").is_file()

    def read(self, default_root: Path, seed: int, size_of: Callable[[Path], tuple[int, int] | None]) -> Dataset:
        """Read both splits."""
        del seed
        return read_coco(
            Path(self.root or default_root).expanduser(),
            self.train_annotations,
            self.val_annotations,
            self.train_images,
            self.val_images,
            self.labels,
            self.prompt_names,
            size_of,
        )


def read_coco(
    root: Path,
    train_annotations: str = AUTO,
    val_annotations: str | None = AUTO,
    train_images: str = AUTO,
    val_images: str = AUTO,
    labels: str = AUTO,
    prompt_names: Phrases | None = None,
    size_of: SizeOf = image_size,
) -> Dataset:
    """Read the samples of a data set in COCO's layout; only the headers of images are read.

    Classes are the categories of the training file in ascending order of their ids, which may have gaps.
    Training images without a label are left out, as nothing could be learned from them (about 1 in 100 of train2017);
    held-out ones stay, and their truth is background.

    Args:
        root: The folder; the other paths are relative to it.
        train_annotations: Instances of the training split; "auto": ``annotations/instances_train2017.json``, the
            same of 2014 or without a year, ``annotations/train.json`` or ``labels/train.json``.
        val_annotations: Of the held-out split; None or "" for none; "auto": the training file's name with "val" for
            "train", where that exists.
        train_images: Folder of the training images; "auto": ``train2017`` for ``instances_train2017.json``, the
            same in ``images``, ``images`` itself, or the root.
        val_images: Of the held-out images.
        labels: "auto": from the annotations. "npy": from ``cls_labels_coco.npy``, a dict of image id -> one flag
            per class; an image that is not in it has no label, as such files leave unlabeled images out.
        prompt_names: Class name -> one phrase or several for it in prompts; they replace those of ``catalogues.COCO``.
        size_of: Returns the size of an image, or None to skip it (:class:`semples.data.validation.BadImages`).

    Raises:
        DataError: A file or folder is missing, unreadable or outside its folder; an id is used twice; an annotation
            names an unknown image or category; or an image's size differs from its entry.
        ConfigError: ``labels`` is another word, or a prompt name belongs to no class.
    """
    if not root.is_dir():
        raise DataError(f"{root}: there is no such folder; expected images and COCO annotations in it")
    train_path = _train_path(root, train_annotations)
    val_path = _val_path(root, train_path, val_annotations)
    table = read_table(train_path)
    catalogue = _catalogue(table, prompt_names or {})
    labels_of = _labels(root, labels, catalogue)
    folder = _images_folder(root, train_path, train_images, "train_images")
    train = _samples(table, folder, catalogue, labels_of, size_of)
    require_some(train, root)
    if not any(sample.tags for sample in train):
        raise DataError(
            f"{train_path}: none of its images has a label (data.labels is {labels}); add annotations, or give others"
        )
    val: tuple[Sample, ...] = ()
    if val_path is not None:
        table = read_table(val_path, table)
        folder = _images_folder(root, val_path, val_images, "val_images")
        val = _samples(table, folder, catalogue, labels_of, size_of)
    return Dataset(catalogue, tuple(sample for sample in train if sample.tags), val)


def _train_path(root: Path, given: str) -> Path:
    if given != AUTO:
        return root / given
    found = next((root / name for name in _TRAIN_FILES if (root / name).is_file()), None)
    if found is None:
        names = ", ".join(_TRAIN_FILES)
        raise DataError(f"{root}: there are no COCO annotations (none of {names}); set data.train_annotations")
    return found


def _val_path(root: Path, train: Path, given: str | None) -> Path | None:
    if given != AUTO:
        return root / given if given else None
    path = train.with_name(train.name.replace("train", "val"))
    return path if path != train and path.is_file() else None


def _images_folder(root: Path, annotations: Path, given: str, setting: str) -> Path:
    if given != AUTO:
        if not (root / given).is_dir():
            raise DataError(f"{root / given}: there is no such folder of images; set data.{setting}")
        return root / given
    name = annotations.stem.removeprefix("instances_")
    folders = (root / name, root / "images" / name, root / "images")
    return next((folder for folder in folders if folder.is_dir()), root)


def _catalogue(table: CocoTable, prompt_names: Phrases) -> ClassCatalogue:
    names, ids = list(table.categories.values()), list(table.categories)
    usual = dict(zip(COCO.names, COCO.prompt_names, strict=True))
    words = {name: usual.get(name, name) for name in names}
    try:
        catalogue_from_names(names, words, ids)
    except ConfigError as error:
        raise DataError(f"{table.path}: categories: {error}") from error
    return catalogue_from_names(names, {**words, **prompt_names}, ids, synonyms_except(prompt_names))


Labels = Callable[[CocoImage], tuple[int, ...]]
"""Image -> class indices, ascending."""


def _labels(root: Path, source: str, catalogue: ClassCatalogue) -> Labels:
    if source == AUTO:
        indices = {category: index for index, category in enumerate(catalogue.category_ids)}
        return lambda image: tuple(sorted(indices[category] for category in image.categories))
    if source != "npy":
        raise ConfigError(
            f'data.labels: "{source}" does not exist; for COCO expected auto (annotations) or npy ({_LABEL_FILES[0]})'
        )
    path = next((root / name for name in _LABEL_FILES if (root / name).is_file()), root / _LABEL_FILES[0])
    flags = read_class_labels(path)

    def labels(image: CocoImage) -> tuple[int, ...]:
        vector = flags.get(str(image.id), flags.get(PurePosixPath(image.file_name).stem))
        return () if vector is None else flag_indices(vector, catalogue, f"{path}, image {image.id}")

    return labels


def _samples(
    table: CocoTable, folder: Path, catalogue: ClassCatalogue, labels_of: Labels, size_of: SizeOf
) -> tuple[Sample, ...]:
    values = {category: index + 1 for index, category in enumerate(catalogue.category_ids)}
    image_ids: dict[str, int] = {}  # filled below; the masks look ids up when they are drawn
    masks = CocoMasks(table.path, image_ids, values)
    samples = []
    for image in table.images.values():
        where = f"{table.path}, image {image.id}"
        sample_id = PurePosixPath(image.file_name).with_suffix("").as_posix()
        if sample_id in image_ids:
            raise DataError(f'{where}: image {image_ids[sample_id]} has the same file name "{sample_id}"; rename one')
        image_ids[sample_id] = image.id
        path = folder / image.file_name
        if not _is_usable(path, folder, image.size, size_of, where):
            continue
        truth = (table.path, masks) if table.has_masks and image.has_segmentations else (None, None)
        samples.append(Sample(sample_id, path, image.size, labels_of(image), *truth))
    return tuple(samples)


def _is_usable(path: Path, folder: Path, size: tuple[int, int], size_of: SizeOf, where: str) -> bool:
    """Whether to use an image rather than skip it; its file must exist and have the size given by the annotations."""
    if not path.is_file():
        raise DataError(f"{where}: there is no file {path}; add it, or set the folder (data.train_images, val_images)")
    require_inside(folder, path)
    actual = size_of(path)
    if actual not in (size, None):
        found = " x ".join(map(str, actual))
        raise DataError(f"{where}: height x width {size[0]} x {size[1]}, but {path} has {found}; correct one of them")
    return actual is not None
