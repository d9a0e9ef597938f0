"""The images that a run left out, as ``skipped.json`` lists them."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Skipped:
    """Images that could not be read, each with why, and the classes that were left without a training image."""

    images: tuple[tuple[str, str], ...] = ()
    classes: tuple[str, ...] = ()


def parse_skipped(text: str) -> Skipped:
    """Parse ``skipped.json``.

    Raises:
        ValueError: It is no JSON; or a KeyError, TypeError or AttributeError, where it is something else.
    """
    value = json.loads(text)
    images = tuple((str(entry["path"]), str(entry["reason"])) for entry in value["images"])
    return Skipped(images, tuple(str(name) for name in value["classes_without_images"]))
