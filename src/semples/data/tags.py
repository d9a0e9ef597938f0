"""Reads image-level labels from ``tags.csv``, and turns tags into class indices."""

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
"""Bytes of a file name and characters of a path that all common file systems accept, with room for a suffix."""


def read_tags_csv(path: Path) -> dict[str, tuple[str, ...]]:
    """Read a ``tags.csv``: header ``image,tags``, then one line for each image, its tags joined by ``|``.

    Blanks around names, a byte order mark, CRLF and empty lines are ignored; an empty tags cell means no tags.

    Returns:
        Image id or file name as written (relative, with ``/``) -> its tags, in the order of the file.

    Raises:
        DataError: The file is missing, not UTF-8, or has a different header or number of columns; an image
            is named twice, or by a path that is absolute or contains ``..``. The text names the line.
    """
    rows = _rows(path)
    _check_header(path, *next(rows, (1, [])))
    tags: dict[str, tuple[str, ...]] = {}
    first_lines: dict[str, int] = {}
    for line, row in rows:
        where = f"{path}:{line}"
        if len(row) != len(_HEADER):
            raise DataError(
                f'{where}: found {len(row)} columns, expected 2 (image and tags); join tags by "|" and '
                "put quotes around a name that contains a comma"
            )
        image = relative_name(row[0], where)
        if image in tags:
            raise DataError(f"{where}: image {image} is also on line {first_lines[image]}; keep one of them")
        tags[image] = tuple(" ".join(tag.split()) for tag in row[1].split("|") if tag.strip())
        first_lines[image] = line
    return tags


def tag_indices(tags: Iterable[str], catalogue: ClassCatalogue, where: str) -> tuple[int, ...]:
    """Return the class indices (0-based) of tags, ascending and without repeats.

    Args:
        tags: Class names.
        catalogue: The classes.
        where: Place named in an error, for example ``"tags.csv, image a.jpg"``.

    Raises:
        DataError: A tag is not a class of the catalogue.
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
    """Refuse a training image without tags, from which nothing could be learned.

    Raises:
        DataError: ``tags`` is empty; the text names ``image`` and ``where`` (a file).
    """
    if not tags:
        raise DataError(f"{where}: image {image} has no tags; give it one, or remove the line")


def relative_name(name: str, where: str) -> str:
    """Return a name from a user's file as a relative path with ``/``, without ``./`` or blanks around it.

    Raises:
        DataError: It is empty or absolute, leaves its folder by ``..``, contains control characters or bytes
            that are not UTF-8, or is longer than file systems accept.
    """
    name = name.strip()
    path = PurePosixPath(name)
    if "\\" in name or PureWindowsPath(name).drive:
        raise DataError(f'{where}: "{name}" is a Windows path; write it relative to the data folder, with "/"')
    if path.is_absolute() or ".." in path.parts:
        raise DataError(f'{where}: "{name}" leaves the data folder; write it relative to that folder, without ".."')
    if not path.name or any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise DataError(f"{where}: {name!r} is not a usable file name; rename the image")
    if len(name) > _LONGEST_PATH or any(len(part.encode()) > _LONGEST_NAME for part in path.parts):
        raise DataError(f'{where}: "{name[:40]}..." is too long for a file name; rename the image')
    return path.as_posix()


def require_inside(root: Path, path: Path) -> None:
    """Refuse a file that links to a place outside its folder.

    Raises:
        DataError: ``path``, with its links followed, is not below ``root``.
    """
    if not path.resolve().is_relative_to(root.resolve()):
        raise DataError(f"{path}: a link that leaves {root}; copy the file there instead")


def flag_indices(flags: npt.NDArray[Any], catalogue: ClassCatalogue, where: str) -> tuple[int, ...]:
    """Return the class indices (0-based, ascending) of an image's vector of flags [K], each 0 or 1.

    Raises:
        DataError: The vector has a different length or other values; the text names ``where``.
    """
    if flags.shape != (len(catalogue),):
        raise DataError(
            f"{where}: found flags of shape {list(flags.shape)}, expected {len(catalogue)}; write one flag per class"
        )
    if not ((flags == 0) | (flags == 1)).all():
        raise DataError(f"{where}: has flags other than 0 and 1; write 1 for each class in the image, else 0")
    return tuple(int(index) for index in flags.nonzero()[0])


def read_utf8(path: Path, expected: str) -> str:
    """Return a user's text file without its byte order mark.

    Raises:
        DataError: It cannot be opened (``expected`` describes the content it should have), or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror}); expected {expected}") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        byte = error.object[error.start]
        raise DataError(f"{path}:{line}: byte 0x{byte:02x} is not UTF-8; save the file with encoding UTF-8") from error


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) of the lines that are not empty."""
    text = read_utf8(path, "a CSV file with the header image,tags")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, row
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: not valid CSV ({error}); check the quotes") from error


def _check_header(path: Path, line: int, row: list[str]) -> None:
    if [cell.strip().lower() for cell in row] == _HEADER:
        return
    found = " ".join(",".join(row).split())[:80]
    fix = 'separate the columns by ",", not by ";"' if ";" in found else "make that the first line"
    raise DataError(f'{path}:{line}: found "{found}", expected the header "image,tags"; {fix}')
