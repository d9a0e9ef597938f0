"""Reads a folder of a user's own images, with a ``tags.csv`` or with one sub-folder per class."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from semples.config.checks import fraction
from semples.config.data import DataConfig
from semples.data.catalogues import Phrases, catalogue_from_names
from semples.data.images import image_size
from semples.data.phrases import SYNONYMS
from semples.data.plurals import plain_words, plural
from semples.data.tags import read_tags_csv, relative_name, require_inside, require_tags, tag_indices
from semples.data.validation import SizeOf, require_some
from semples.errors import ConfigError, DataError, did_you_mean
from semples.records import Dataset, Sample

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
"""Suffixes of image files, in lower case; matching ignores case."""

_RESERVED = frozenset({"images", "masks"})


@dataclass(frozen=True)
class FolderConfig(DataConfig):
    """Reader folder: a folder of your own images."""

    classes: list[str] | None = None
    """Class names in mask order; null takes all tags, sorted."""
    val_fraction: float = 0.1
    """Share of the images held out, chosen by a stable hash of their names."""

    def __post_init__(self) -> None:
        fraction(self, "data", "val_fraction")  # first, because there may be no root if another reader is chosen
        super().__post_init__()

    @classmethod
    def recognizes(cls, folder: Path) -> bool:
        """Return True: every folder of images can be read this way."""
        return folder.is_dir()

    def read(self, default_root: Path, seed: int, size_of: Callable[[Path], tuple[int, int] | None]) -> Dataset:
        """Read the folder."""
        root = Path(self.root or default_root).expanduser()
        return read_folder(root, self.classes, self.prompt_names, self.val_fraction, seed, size_of)


def read_folder(
    root: Path,
    classes: Sequence[str] | None = None,
    prompt_names: Phrases | None = None,
    val_fraction: float = 0.1,
    seed: int = 0,
    size_of: SizeOf = image_size,
) -> Dataset:
    """Read the samples of a folder; only the headers of images are read, and no masks.

    Either ``tags.csv`` (``image,tags``) names the images, which are beside it or in ``images/``, or each
    sub-folder contains the images of the class it is named after. ``masks/ID.png`` may be the ground-truth
    mask of image ID (its path in the folder of images, without suffix).

    Args:
        root: The folder.
        classes: Class names in the order of the mask values; None takes the tags that occur, sorted.
        prompt_names: Class name -> one phrase or several for it in prompts, for classes that the VLM knows under
            another name. Other classes get their plural as a second phrase, if the VLM knows it.
        val_fraction: Share of images to hold out, 0 <= f < 1. An image's split depends on a
            hash of its id and the seed, so that adding images does not move others. If it is above 0 and
            there are at least 2 images, each split gets at least one.
        seed: Seed of the split.
        size_of: Returns the size of an image, or None to skip it (:class:`semples.data.validation.BadImages`).

    Raises:
        DataError: A file or folder is missing, unreadable or outside the root; an image has no tag; a tag is
            not a class; or two images have the same id.
        ConfigError: The classes, prompt names or val_fraction are invalid.
    """
    if not 0 <= val_fraction < 1:
        raise ConfigError(f"data.val_fraction: {val_fraction} is out of range; expected at least 0 and below 1")
    if not root.is_dir():
        raise DataError(f"{root}: there is no such folder; expected images with a tags.csv or class folders")
    has_table = (root / "tags.csv").is_file()
    tagged = _from_table(root) if has_table else _from_class_folders(root)
    where = root / "tags.csv" if has_table else root
    names = sorted({tag for _, tags in tagged.values() for tag in tags}) if classes is None else classes
    further = {
        name: (*SYNONYMS.get(name, ()), plural(plain_words(name))) for name in names if name not in (prompt_names or {})
    }
    catalogue = catalogue_from_names(names, prompt_names, suggestions=further)
    samples = []
    for image, (path, tags) in tagged.items():
        indices = tag_indices(tags, catalogue, f"{where}, image {path.name}")
        if (size := size_of(path)) is not None:
            samples.append(Sample(image, path, size, indices, _mask_path(root, image)))
    require_some(samples, root)
    held_out = _held_out([sample.id for sample in samples], val_fraction, seed)
    train = tuple(sample for sample in samples if sample.id not in held_out)
    return Dataset(catalogue, train, tuple(sample for sample in samples if sample.id in held_out))


_Tagged = dict[str, tuple[Path, tuple[str, ...]]]
"""Image id -> its file and its tags."""


def _from_table(root: Path) -> _Tagged:
    table = root / "tags.csv"
    tagged: _Tagged = {}
    for name, tags in read_tags_csv(table).items():
        where = f"{table}, image {name}"
        path = _find(root, name, where)
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            expected = ", ".join(sorted(IMAGE_SUFFIXES))
            raise DataError(f'{where}: "{path.suffix}" is not an image suffix; expected one of {expected}')
        require_tags(tags, name, str(table))
        base = root / "images" if path.is_relative_to(root / "images") else root
        _add(tagged, root, path, base, tags)
    if not tagged:
        raise DataError(f"{table}: no images below the header; write one line image,tags per image")
    return tagged


def _find(root: Path, name: str, where: str) -> Path:
    """Return the file named by a line of the table, in ``images/`` or else in the root."""
    for folder in (root / "images", root):
        if (folder / name).is_file():
            return folder / name
    folder = root / "images" if (root / "images").is_dir() else root
    hint = did_you_mean(name, (path.name for path in folder.iterdir()))
    raise DataError(f"{where}: there is no such file in {folder}; add it or remove the line{hint}")


def _from_class_folders(root: Path) -> _Tagged:
    folders = [folder for folder in _visible(root) if folder.is_dir() and folder.name not in _RESERVED]
    if not folders:
        raise DataError(
            f"{root}: no tags.csv, no class folders; add a tags.csv (image,tags) or a sub-folder of images per class"
        )
    tagged: _Tagged = {}
    for folder in folders:
        entries = _visible(folder)
        if nested := [path.name for path in entries if path.is_dir()]:
            raise DataError(f"{folder}: folder {nested[0]} inside a class folder is not read; move its images up")
        images = [path for path in entries if path.suffix.lower() in IMAGE_SUFFIXES]
        if not images:
            raise DataError(f"{folder}: no images of this class; add some or remove the folder")
        for path in images:
            _add(tagged, root, path, root, (folder.name,))
    return tagged


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _add(tagged: _Tagged, root: Path, path: Path, base: Path, tags: tuple[str, ...]) -> None:
    """Add an image; its id is the path below ``base`` without suffix."""
    require_inside(root, path)
    image = relative_name(path.relative_to(base).with_suffix("").as_posix(), str(root))
    if image in tagged:
        raise DataError(f'{path}: {tagged[image][0].name} has the same id "{image}"; rename one of them')
    tagged[image] = path, tags


def _mask_path(root: Path, image: str) -> Path | None:
    path = root / "masks" / f"{image}.png"
    if not path.is_file():
        return None
    require_inside(root, path)
    return path


def _held_out(images: Sequence[str], fraction: float, seed: int) -> set[str]:
    """Return the ids to hold out: those whose hash in [0, 1) is below the fraction; at least one, never all."""
    if fraction == 0 or len(images) < 2:
        return set()
    draws = {image: _draw(image, seed) for image in images}
    by_draw = sorted(images, key=draws.__getitem__)
    count = sum(draw < fraction for draw in draws.values())
    return set(by_draw[: min(max(count, 1), len(images) - 1)])


def _draw(image: str, seed: int) -> float:
    """Hash an id and the seed to a number in [0, 1)."""
    digest = hashlib.sha256(f"{seed}:{image}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
