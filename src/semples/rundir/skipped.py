"""``skipped.json``: images that could not be read and were skipped (``--skip-bad-images``)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from semples.files import write_json, writing


@dataclass(frozen=True)
class SkippedImages:
    """Skipped images, and their effect.

    Attributes:
        images: Path of each image, and the reason why it was skipped.
        classes: Classes left without a training image.
    """

    images: Sequence[tuple[str, str]] = ()
    classes: Sequence[str] = ()


def write_skipped(path: Path, skipped: SkippedImages) -> None:
    """Write the file; remove it if no image was skipped."""
    if not skipped.images:
        with writing(path):
            path.unlink(missing_ok=True)
        return
    content = {
        "images": [{"path": image, "reason": reason} for image, reason in skipped.images],
        "classes_without_images": list(skipped.classes),
    }
    write_json(path, content)


def parse_skipped(text: str) -> SkippedImages:
    """Parse the content of the file.

    Raises:
        ValueError: The text is not JSON.
        KeyError, TypeError, AttributeError: The text has another structure.
    """
    value = json.loads(text)
    images = tuple((str(entry["path"]), str(entry["reason"])) for entry in value["images"])
    return SkippedImages(images, tuple(str(name) for name in value["classes_without_images"]))
