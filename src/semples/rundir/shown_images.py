"""``6-evaluate/samples.json``: ids of the images that the report shows, by split."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from semples.files import write_json

SPLITS = ("train", "val")


def write_shown_images(path: Path, ids: Mapping[str, Sequence[str]]) -> None:
    """Write the ids, by split."""
    write_json(path, {split: list(ids[split]) for split in SPLITS})


def parse_shown_images(text: str) -> dict[str, tuple[str, ...]]:
    """Parse the content of the file.

    Raises:
        ValueError: The text is not JSON.
        TypeError, AttributeError: The text has another structure.
    """
    value = json.loads(text)
    return {split: tuple(str(id) for id in value.get(split) or ()) for split in SPLITS}
