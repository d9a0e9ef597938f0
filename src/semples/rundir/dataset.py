"""``dataset.json``: classes, images and tags of a run, without ground-truth masks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from semples.errors import DataError
from semples.files import write_json
from semples.records import ClassCatalogue, Dataset, Sample


def write_dataset(path: Path, dataset: Dataset) -> None:
    """Write the classes and both splits, with absolute paths of the images."""
    content = {
        "classes": list(dataset.catalogue.names),
        "prompt_names": list(dataset.catalogue.prompt_names),
        "synonyms": [list(phrases) for phrases in dataset.catalogue.synonyms],
        "suggestions": [list(phrases) for phrases in dataset.catalogue.suggestions],
        "category_ids": list(dataset.catalogue.category_ids),
        "train": _entries(dataset.train),
        "val": _entries(dataset.val),
    }
    write_json(path, content)


def read_dataset(path: Path) -> Dataset:
    """Read the file; every id in it is safe to use as a file name.

    Raises:
        DataError: The file is missing or damaged.
    """
    try:
        return parse_dataset(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path}: damaged ({reason}); restore a good copy, or run again") from error


def parse_dataset(text: str) -> Dataset:
    """Parse and check the content of the file.

    Raises:
        ValueError: The text is not JSON or contradicts itself.
        KeyError, TypeError, AttributeError: The text has another structure.
    """
    value = json.loads(text)
    names = _texts(value, "classes")
    prompt_names = _texts(value, "prompt_names") if value.get("prompt_names") else names
    ids = tuple(int(number) for number in value.get("category_ids") or ())
    train, val = (tuple(_sample(entry) for entry in value.get(split) or ()) for split in ("train", "val"))
    # Runs of earlier versions have one phrase per class, and neither of these lists.
    synonyms, suggestions = (_phrases(value, key) for key in ("synonyms", "suggestions"))
    return Dataset(ClassCatalogue(names, prompt_names, ids, synonyms, suggestions), train, val)


def _entries(samples: Sequence[Sample]) -> list[dict[str, Any]]:
    return [
        {
            "id": sample.id,
            "path": str(sample.path.resolve()),
            "height": sample.size[0],
            "width": sample.size[1],
            "tags": list(sample.tags),
        }
        for sample in samples
    ]


def _phrases(value: Mapping[str, Any], key: str) -> tuple[tuple[str, ...], ...]:
    lists = value.get(key) or []
    if not isinstance(lists, list):
        raise ValueError(f"{key} is not a list of lists")
    return tuple(_texts({key: phrases}, key) for phrases in lists)


def _texts(value: Mapping[str, Any], key: str) -> tuple[str, ...]:
    texts = value[key]
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{key} is not a list of strings")
    return tuple(texts)


def _sample(entry: Mapping[str, Any]) -> Sample:
    if not isinstance(entry["id"], str):
        raise ValueError(f"id {entry['id']!r} is not a string")
    tags = tuple(sorted({int(tag) for tag in entry["tags"]}))
    return Sample(entry["id"], Path(entry["path"]), (int(entry["height"]), int(entry["width"])), tags)
