"""Reads COCO's annotation file into a table of images and their categories, checked entry by entry.

Only the image and the category of an annotation are kept: polygons and run lengths are dropped while parsing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from semples.data.tags import read_utf8, relative_name
from semples.errors import DataError

_SEGMENTATION = "segmentation"
_EXPECTED = "COCO instances: an object with images, annotations and categories"


def read_annotation_json(path: Path, object_hook: Callable[[dict[str, Any]], dict[str, Any]] | None = None) -> Any:
    """Read a JSON file of annotations.

    Args:
        path: The file.
        object_hook: Called with each object as soon as it is parsed, inner ones first; its result replaces the object.

    Raises:
        DataError: The file is missing or not JSON.
    """
    text = read_utf8(path, _EXPECTED)
    try:
        return json.loads(text, object_hook=object_hook)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not valid JSON ({error}); download or export it again") from error


@dataclass
class CocoImage:
    """An image of the table: its file, its size (height, width), its categories, and whether all are segmented."""

    id: int
    file_name: str
    size: tuple[int, int]
    categories: set[int] = field(default_factory=set)
    has_segmentations: bool = True


@dataclass(frozen=True)
class CocoTable:
    """The content of an annotation file, without segmentations."""

    path: Path
    categories: dict[int, str]
    images: dict[int, CocoImage]
    has_masks: bool


def read_table(path: Path, other: CocoTable | None = None) -> CocoTable:
    """Read an annotation file; its categories must match those of ``other`` if given.

    Raises:
        DataError: Something needed is missing, of another type, or used twice; the text names the entry's id.
    """
    content = read_annotation_json(path, _without_segmentation)
    if not isinstance(content, dict):
        raise DataError(f"{path}: found {type(content).__name__}; expected {_EXPECTED}")
    categories = {
        number: _value(entry, "name", str, where)
        for number, entry, where in _numbered(content, "categories", "category", path)
    }
    categories = dict(sorted(categories.items()))
    if other is not None and categories != other.categories:
        raise DataError(f"{path}: its categories differ from those of {other.path}; give both files the same")
    images = {
        number: CocoImage(
            number,
            relative_name(_value(entry, "file_name", str, where), where),
            (_value(entry, "height", int, where), _value(entry, "width", int, where)),
        )
        for number, entry, where in _numbered(content, "images", "image", path)
    }
    annotations = _entries(content, "annotations", path)
    _note_categories(images, annotations, categories, path)
    return CocoTable(path, categories, images, any(entry.get(_SEGMENTATION) for entry in annotations))


def _note_categories(
    images: Mapping[int, CocoImage], annotations: list[dict[str, Any]], categories: Mapping[int, str], path: Path
) -> None:
    """Record in each image the categories of its annotations, and whether all of them have a segmentation."""
    for position, entry in enumerate(annotations, start=1):
        where = f"{path}, annotation {entry.get('id', f'number {position}')}"
        image = images.get(_value(entry, "image_id", int, where))
        category = _value(entry, "category_id", int, where)
        if image is None:
            raise DataError(f"{where}: image_id {entry['image_id']} does not exist; correct or remove it")
        if category not in categories:
            known = ", ".join(f"{number} ({name})" for number, name in list(categories.items())[:5])
            raise DataError(f"{where}: category_id {category} does not exist; expected one of {known}, ...")
        image.categories.add(category)
        image.has_segmentations &= bool(entry.get(_SEGMENTATION))


def _without_segmentation(entry: dict[str, Any]) -> dict[str, Any]:
    """Replace a segmentation by whether there is one."""
    if _SEGMENTATION in entry:
        entry[_SEGMENTATION] = bool(entry[_SEGMENTATION])
    return entry


def _entries(content: Mapping[str, Any], key: str, path: Path) -> list[dict[str, Any]]:
    entries = content.get(key)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise DataError(f'{path}: "{key}" is not a list of objects; expected {_EXPECTED}')
    return entries


def _numbered(content: Mapping[str, Any], key: str, what: str, path: Path) -> Iterator[tuple[int, dict[str, Any], str]]:
    """Yield (id, entry, place for errors) of a list whose ids must differ."""
    seen = set()
    for position, entry in enumerate(_entries(content, key, path), start=1):
        number = _value(entry, "id", int, f"{path}, {what} number {position}")
        where = f"{path}, {what} {number}"
        if number in seen:
            raise DataError(f"{where}: id {number} is used twice; give each {what} its own")
        seen.add(number)
        yield number, entry, where


def _value(entry: Mapping[str, Any], key: str, kind: type[Any], where: str) -> Any:
    value = entry.get(key)
    if type(value) is not kind:  # not isinstance: a bool is not an id
        expected = {int: "a whole number", str: "text"}[kind]
        problem = f"{key} is {value!r}" if key in entry else f"there is no {key}"
        raise DataError(f"{where}: {problem}; expected {expected}")
    return value
