"""``dataset.json`` of a run directory: the classes and images that the run worked on, no masks among them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from semples.errors import DataError
from semples.records import ClassCatalogue, Dataset, Sample


def require_run(directory: Path, *names: str) -> None:
    """Refuse a folder that is no run directory.

    Args:
        directory: The folder.
        names: Files that every run directory has, and that are about to be read.

    Raises:
        DataError: One of them is missing.
    """
    for name in names:
        if not (directory / name).is_file():
            raise DataError(
                f"{directory} is no run directory: it has no {name}: give the folder that semples run wrote"
            )


def read_dataset_index(path: Path) -> Dataset:
    """Read the file; an id in it is safe to name files by.

    Raises:
        DataError: It is missing, or was changed into something else.
    """
    try:
        return parse_dataset(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path} is no data set of a run ({reason}): put a good copy back, or run again") from error


def parse_dataset(text: str) -> Dataset:
    """Parse and check the classes and both splits.

    Raises:
        ValueError: It is no JSON or contradicts itself; or a KeyError, TypeError or AttributeError, where it is
            something else.
    """
    value = json.loads(text)
    names = _texts(value, "classes")
    prompt_names = _texts(value, "prompt_names") if value.get("prompt_names") else names
    ids = tuple(int(number) for number in value.get("category_ids") or ())
    train, val = (tuple(_sample(entry) for entry in value.get(split) or ()) for split in ("train", "val"))
    return Dataset(ClassCatalogue(names, prompt_names, ids), train, val)


def _texts(value: Mapping[str, Any], key: str) -> tuple[str, ...]:
    texts = value[key]
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{key} is no list of texts")
    return tuple(texts)


def _sample(entry: Mapping[str, Any]) -> Sample:
    if not isinstance(entry["id"], str):
        raise ValueError(f"id {entry['id']!r} is no text")
    tags = tuple(sorted({int(tag) for tag in entry["tags"]}))
    return Sample(entry["id"], Path(entry["path"]), (int(entry["height"]), int(entry["width"])), tags)
