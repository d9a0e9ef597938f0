"""How readers validate images: by header only, or by decoding them and skipping bad files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from semples.data.images import read_image
from semples.errors import DataError
from semples.records import Sample

SizeOf = Callable[[Path], tuple[int, int] | None]
"""Image file -> (height, width) of the upright image, or None to skip it; raises DataError for a bad image."""


@dataclass
class BadImages:
    """Decodes every image once, and skips those that cannot be read.

    Attributes:
        after_each: Called after each image.
        reasons: Image file -> why it was skipped, in reading order.
        count: Number of images read so far, including bad ones.
    """

    after_each: Callable[[], object] = lambda: None
    reasons: dict[Path, str] = field(default_factory=dict)
    count: int = 0

    def size_of(self, path: Path) -> tuple[int, int] | None:
        """Return (height, width) of an image, or None if it is skipped.

        Raises:
            DataError: The file does not exist: the list that names it is wrong, not the image.
        """
        try:
            height, width, _ = read_image(path).shape
        except DataError as error:
            if not path.is_file():
                raise
            self.reasons[path] = str(error)
            return None
        finally:
            self.count += 1
            self.after_each()
        return height, width


def require_some(train: Sequence[Sample], root: Path) -> None:
    """Refuse a data set without any training images left.

    Raises:
        DataError: ``train`` is empty.
    """
    if not train:
        raise DataError(f"{root}: none of the training images can be read; run without --skip-bad-images to learn why")
