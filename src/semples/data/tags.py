"""Image-level labels: the ``tags.csv`` file, and tags as class indices."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy.typing as npt

from semples.errors import DataError, did_you_mean
from semples.records import ClassCatalogue

_HEADER = ["image", "tags"]
_LONGEST_NAME, _LONGEST_PATH = 250, 1000
"""Bytes of a file name, and characters of a path, that all usual file systems take, a suffix of ours included."""


def read_tags_csv(path: Path) -> dict[str, tuple[str, ...]]:
    """Read a ``tags.csv``: header ``image,tags``, then one line for each image, its tags joined by ``|``.

    Blanks around names, a byte order mark, CRLF and empty lines do no harm; an empty tags cell means no tags.

    Returns:
        Image id or file name, relative and with ``/``, as written -> its tags, in the order of the file.

    Raises:
        DataError: With the line's number, if the file is missing or not UTF-8, has another header or number
            of columns, names an image twice, or names one by a path that is absolute or has ``..`` in it.
    """
    rows = _rows(path)
    _check_header(path, *next(rows, (1, [])))
    tags: dict[str, tuple[str, ...]] = {}
    first_lines: dict[str, int] = {}
    for line, row in rows:
        where = f"{path}, line {line}"
        if len(row) != len(_HEADER):
            raise DataError(
                f'{where}: {len(row)} columns, expected 2, image and tags; join tags by "|" and '
                "put quotes around a name that has a comma"
            )
        image = relative_name(row[0], where)
        if image in tags:
            raise DataError(f"{where}: image {image} stands on line {first_lines[image]} too; keep one of them")
        tags[image] = tuple(" ".join(tag.split()) for tag in row[1].split("|") if tag.strip())
        first_lines[image] = line
    return tags


def tag_indices(tags: Iterable[str], catalogue: ClassCatalogue, where: str) -> tuple[int, ...]:
    """Return the class indices (0-based) of tags, ascending and without repeats.

    Args:
        tags: Class names.
        catalogue: The classes.
        where: What to name in an error, for example ``"tags.csv, image a.jpg"``.

    Raises:
        DataError: If a tag is no class of the catalogue.
    """
    indices = {name: index for index, name in enumerate(catalogue.names)}
    found = set()
    for tag in tags:
        if tag not in indices:
            hint = did_you_mean(tag, catalogue.names) or f"; expected any of {', '.join(catalogue.names)}"
            raise DataError(f'{where}: tag "{tag}" is not a class{hint}')
        found.add(indices[tag])
    return tuple(sorted(found))


def require_tags(tags: Collection[object], image: str, where: str) -> None:
    """Refuse a training image without tags: nothing could be learned from it.

    Raises:
        DataError: If ``tags`` is empty; it names ``image`` and ``where`` (a file).
    """
    if not tags:
        raise DataError(f"{where}: image {image} has no tags: give it one or remove the line")


def relative_name(name: str, where: str) -> str:
    """Return a name from a user's file as a relative path with ``/``, without ``./`` or blanks around it.

    Raises:
        DataError: If it is empty, absolute, leaves its folder by ``..``, or has control characters or bytes
            that are not UTF-8, or is longer than file systems take.
    """
    name = name.strip()
    path = PurePosixPath(name)
    if "\\" in name or PureWindowsPath(name).drive:
        raise DataError(f'{where}: "{name}" is a Windows path; write it relative to the data folder, with "/"')
    if path.is_absolute() or ".." in path.parts:
        raise DataError(f'{where}: "{name}" leaves the data folder; write it relative to that, without ".."')
    if not path.name or any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise DataError(f"{where}: {name!r} is no usable file name; rename the image")
    if len(name) > _LONGEST_PATH or any(len(part.encode()) > _LONGEST_NAME for part in path.parts):
        raise DataError(f'{where}: "{name[:40]}..." is too long for a file name; rename the image')
    return path.as_posix()


def require_inside(root: Path, path: Path) -> None:
    """Refuse a file that a link takes out of its folder.

    Raises:
        DataError: If ``path``, with its links followed, is not below ``root``.
    """
    if not path.resolve().is_relative_to(root.resolve()):
        raise DataError(f"{path}: a link that leaves {root}; copy the file there instead")


def flag_indices(flags: npt.NDArray[Any], catalogue: ClassCatalogue, where: str) -> tuple[int, ...]:
    """Return the class indices (0-based, ascending) of an image's vector of flags [K], each 0 or 1.

    Raises:
        DataError: If the vector has another length or other values; it names ``where``.
    """
    if flags.shape != (len(catalogue),):
        raise DataError(f"{where} has {list(flags.shape)} flags, expected {len(catalogue)}")
    if not ((flags == 0) | (flags == 1)).all():
        raise DataError(f"{where} has flags other than 0 and 1; write 1 for each class that is there, else 0")
    return tuple(int(index) for index in flags.nonzero()[0])


def read_utf8(path: Path, expected: str) -> str:
    """Return a user's text file without a byte order mark.

    Raises:
        DataError: If it cannot be opened (``expected`` says what it should hold), or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror}); expected {expected}") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        byte = error.object[error.start]
        raise DataError(
            f"{path}, line {line}: byte 0x{byte:02x} is not UTF-8; save the file with encoding UTF-8"
        ) from error


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) of the lines that are not empty."""
    text = read_utf8(path, "a CSV file with the header image,tags")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, row
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: not CSV ({error}); check the quotes") from error


def _check_header(path: Path, line: int, row: list[str]) -> None:
    if [cell.strip().lower() for cell in row] == _HEADER:
        return
    came = " ".join(",".join(row).split())[:80]
    hint = '; separate the columns by "," and not by ";"' if ";" in came else ""
    raise DataError(f'{path}, line {line}: came "{came}", expected the header "image,tags"{hint}')
