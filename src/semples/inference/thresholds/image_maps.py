"""The CAMs of one image, as threshold criteria judge them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from semples.records import Sample


@dataclass(frozen=True)
class ImageMaps:
    """The CAMs of one image, as they will be cut.

    Attributes:
        sample: The image.
        cams: CAMs [P, H, W] in [0, 1] of its P classes.
        classes: 0-based indices [P] of these classes, int64.
        read_image: Returns the pixels [3, H, W] of the image in [0, 1]; only some criteria need them.
    """

    sample: Sample
    cams: Tensor
    classes: Tensor
    read_image: Callable[[], Tensor]
