"""Reads data sets in the PASCAL VOC 2012 layout, with image-level labels from whichever file exists.

``JPEGImages/ID.jpg``, ``ImageSets/Segmentation/SPLIT.txt`` and, for evaluation only, masks in
``SegmentationClassAug/ID.png`` or ``SegmentationClass/ID.png``. Masks are never opened here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal
from xml.etree import ElementTree

from semples.config.data import DataConfig
from semples.data.catalogues import VOC, catalogue_from_names
from semples.data.images import image_size
from semples.data.phrases import synonyms_except
from semples.data.restricted_npy import read_class_labels
from semples.data.tags import flag_indices, read_tags_csv, read_utf8, relative_name, require_tags, tag_indices
from semples.data.validation import SizeOf, require_some
from semples.errors import ConfigError, DataError, did_you_mean
from semples.records import ClassCatalogue, Dataset, Sample

_IMAGES = "JPEGImages"
_SPLITS = "ImageSets/Segmentation"

Labels = Callable[[str], tuple[int, ...]]
"""Image id -> class indices, ascending; raises DataError for an image without an entry."""


@dataclass(frozen=True)
class VocConfig(DataConfig):
    """Reader voc: the PASCAL VOC 2012 layout."""

    train_split: str = "train"
    """Name of ImageSets/Segmentation/NAME.txt to train on."""
    val_split: str | None = "val"
    """Name of the held-out split, or null for none."""
    labels: Literal["auto", "tags", "xml", "npy"] = "auto"
    """Where image-level labels are read from; auto takes the first that exists."""

    @classmethod
    def recognizes(cls, folder: Path) -> bool:
        """Return whether the folder has images and splits."""
        return (folder / _IMAGES).is_dir() and (folder / "ImageSets").is_dir()

    def read(self, default_root: Path, seed: int, size_of: Callable[[Path], tuple[int, int] | None]) -> Dataset:
        """Read both splits."""
        del seed
        words = {**dict(zip(VOC.names, VOC.prompt_names, strict=True)), **self.prompt_names}
        catalogue = catalogue_from_names(VOC.names, words, suggestions=synonyms_except(self.prompt_names))
        root = Path(self.root or default_root).expanduser()
        return read_voc(root, self.train_split, self.val_split, self.labels, catalogue=catalogue, size_of=size_of)


def read_voc(
    root: Path,
    train_split: str = "train",
    val_split: str | None = "val",
    labels: str = "auto",
    masks_folder: str = "auto",
    catalogue: ClassCatalogue = VOC,
    size_of: SizeOf = image_size,
) -> Dataset:
    """Read the samples of a data set in the VOC layout; only the headers of images are read.

    Args:
        root: The folder that contains ``JPEGImages``.
        train_split: Name of the training split, for example "train_aug".
        val_split: Name of the held-out split; None or "" for no held-out images.
        labels: Where image-level labels come from: "tags" (``tags.csv``), "xml" (``Annotations/ID.xml``),
            "npy" (``cls_labels.npy``), or "auto", the first of these that exists.
        masks_folder: Name of the folder of ground-truth masks, or "auto": SegmentationClassAug, then
            SegmentationClass. An image without a file there has no mask.
        catalogue: The classes; ``cls_labels.npy`` has one flag per class, in their order.
        size_of: Returns the size of an image, or None to skip it (:class:`semples.data.validation.BadImages`).

    Raises:
        DataError: A folder, split, image or label is missing or unreadable; a label is not a class; or a
            training image has no label.
        ConfigError: ``labels`` is another word.
    """
    _require_images_folder(root)
    labels_of = _labels(root, labels, catalogue)
    masks = _masks(root, masks_folder)
    train = _read_split(root, train_split, labels_of, masks, size_of)
    require_some(train, root)
    for sample in train:
        require_tags(sample.tags, sample.id, str(root / _SPLITS / f"{train_split}.txt"))
    val = _read_split(root, val_split, labels_of, masks, size_of) if val_split else ()
    return Dataset(catalogue, train, val)


def _require_images_folder(root: Path) -> None:
    if (root / _IMAGES).is_dir():
        return
    inside = next((path for path in ("VOC2012", "VOCdevkit/VOC2012") if (root / path / _IMAGES).is_dir()), None)
    hint = f"give {root / inside}" if inside else f"expected a folder with {_IMAGES} and {_SPLITS}"
    raise DataError(f"{root}: not a VOC data set (there is no folder {_IMAGES}); {hint}")


def _read_split(
    root: Path, split: str, labels_of: Labels, masks: dict[str, Path], size_of: SizeOf
) -> tuple[Sample, ...]:
    return tuple(
        Sample(image, path, size, labels_of(image), masks.get(image))
        for image in _split_ids(root, split)
        for path in [root / _IMAGES / f"{image}.jpg"]
        if (size := size_of(path)) is not None
    )


def _split_ids(root: Path, split: str) -> list[str]:
    """Return the image ids of a split, in the order of its file."""
    path = root / _SPLITS / f"{split}.txt"
    if not path.is_file():
        known = sorted(other.stem for other in path.parent.glob("*.txt"))
        expected = f"expected one of {', '.join(known)}" if known else "write a list of ids, one per line"
        raise DataError(f'{path}: there is no split "{split}"; {expected}{did_you_mean(split, known)}')
    lines: dict[str, int] = {}
    for number, line in enumerate(read_utf8(path, "image ids").splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        image = relative_name(line, where)
        if len(image.split()) > 1 or _id(image) != image:
            raise DataError(f'{where}: "{image}" is not an image id; expected one id alone, such as 2007_000032')
        if image in lines:
            raise DataError(f"{where}: {image} is also on line {lines[image]}; keep one of them")
        lines[image] = number
    if not lines:
        raise DataError(f"{path}: the split is empty; write image ids, one per line")
    return list(lines)


def _masks(root: Path, folder: str) -> dict[str, Path]:
    """Return image id -> path of its mask, for the masks that exist."""
    if folder == "auto":
        folders = [root / "SegmentationClass", root / "SegmentationClassAug"]
    elif (root / folder).is_dir():
        folders = [root / folder]
    else:
        raise DataError(
            f'{root / folder}: there is no such folder of masks; correct data.masks_folder, or set it to "auto"'
        )
    return {path.stem: path for masks in folders for path in masks.glob("*.png")}


def _labels(root: Path, source: str, catalogue: ClassCatalogue) -> Labels:
    readers = {
        "tags": (_labels_from_tags, "tags.csv"),
        "xml": (_labels_from_xml, "Annotations/*.xml"),
        "npy": (_labels_from_npy, "cls_labels.npy"),
    }
    if source == "auto":
        source = next((name for name, (_, files) in readers.items() if any(root.glob(files))), "")
        if not source:
            files = ", ".join(files for _, files in readers.values())
            raise DataError(f"{root}: there are no image-level labels; expected one of {files}")
    if source not in readers:
        hint = did_you_mean(source, readers)
        raise ConfigError(f'data.labels: "{source}" does not exist; expected auto, tags, xml or npy{hint}')
    return readers[source][0](root, catalogue)


def _labels_from_tags(root: Path, catalogue: ClassCatalogue) -> Labels:
    path = root / "tags.csv"
    images = {image.name for image in (root / _IMAGES).iterdir()}
    indices: dict[str, tuple[int, ...]] = {}
    for name, tags in read_tags_csv(path).items():
        image = _id(name)
        where = f"{path}, image {name}"
        if f"{image}.jpg" not in images:
            raise DataError(f"{where}: there is no {_IMAGES}/{image}.jpg; add it, or remove the line")
        if image in indices:
            raise DataError(f"{where}: {image} has a second line, with or without folder or suffix; keep one of them")
        indices[image] = tag_indices(tags, catalogue, where)

    def labels(image: str) -> tuple[int, ...]:
        if image not in indices:
            raise DataError(f"{path}: image {image} has no line; add one, or remove the image from the split")
        return indices[image]

    return labels


def _labels_from_xml(root: Path, catalogue: ClassCatalogue) -> Labels:
    def labels(image: str) -> tuple[int, ...]:
        path = root / "Annotations" / f"{image}.xml"
        return tag_indices(_object_names(path), catalogue, str(path))

    return labels


def _labels_from_npy(root: Path, catalogue: ClassCatalogue) -> Labels:
    path = root / "cls_labels.npy"
    flags = read_class_labels(path)

    def labels(image: str) -> tuple[int, ...]:
        # Some projects store ids as integers: 2007_000032 is 2007000032.
        vector = flags.get(image, flags.get(image.replace("_", "")))
        if vector is None:
            raise DataError(f"{path}: image {image} has no entry; add one, or remove the image from the split")
        return flag_indices(vector, catalogue, f"{path}, image {image}")

    return labels


def _id(name: str) -> str:
    """Return the image id of ``ID``, ``ID.jpg`` or ``JPEGImages/ID.jpg``."""
    path = PurePosixPath(name)
    if path.suffix.lower() in (".jpg", ".jpeg", ".png"):
        path = path.with_suffix("")
    return path.relative_to(_IMAGES).as_posix() if path.parts[0] == _IMAGES else path.as_posix()


class _NoDoctype(ElementTree.TreeBuilder):
    """Refuses document types, and thereby all entities, the one dangerous part of XML."""

    def doctype(self, *_: str | None) -> None:
        raise ValueError("it declares a DOCTYPE, which annotations do not have")


def _object_names(path: Path) -> list[str]:
    """Return the class names of an annotation's objects; boxes and parts are ignored."""
    parser = ElementTree.XMLParser(target=_NoDoctype())
    try:
        parser.feed(path.read_bytes())
        annotation = parser.close()
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror}); add it, or use tags.csv") from error
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise DataError(f"{path}: not a VOC annotation ({error}); download it again, or use tags.csv") from error
    return [(name.text or "").strip() for name in annotation.iterfind("object/name")]
