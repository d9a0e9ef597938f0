"""Which images a reader takes: by a look at each header, or by a whole reading that leaves the bad ones out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from semples.data.images import read_image
from semples.errors import DataError
from semples.records import Sample

SizeOf = Callable[[Path], tuple[int, int] | None]
"""Image file -> (height, width) upright, or None for an image to leave out; raises DataError for a bad one."""


@dataclass
class BadImages:
    """Reads each image as a whole once, and leaves out those that cannot be read.

    Attributes:
        after_each: Called after each image.
        reasons: Image file -> why it is left out, in the order of the readings.
        count: Images read so far, bad ones included.
    """

    after_each: Callable[[], object] = lambda: None
    reasons: dict[Path, str] = field(default_factory=dict)
    count: int = 0

    def size_of(self, path: Path) -> tuple[int, int] | None:
        """Return (height, width) of an image, or None if it is to be left out.

        Raises:
            DataError: There is no such file: then the list is wrong that names it, and not the image.
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
    """Refuse a data set of which no training image is left.

    Raises:
        DataError: If ``train`` is empty.
    """
    if not train:
        raise DataError(f"{root}: none of the training images can be read; run without --skip-bad-images to learn why")
