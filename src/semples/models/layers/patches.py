"""Images of any size for transformers, which see whole patches only, and for convolutions with strides."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def whole_patches(pixels: Tensor, patch: int | tuple[int, int]) -> tuple[Tensor, tuple[int, int]]:
    """Resize to the nearest whole number of patches per side, at least one, so that no edge is left out.

    Args:
        pixels: Images [B, C, H, W].
        patch: Height and width of a patch, or its side.

    Returns:
        The images, as they came where they fit, and the patches per column and row (h, w).
    """
    sides = (patch, patch) if isinstance(patch, int) else patch
    height, width = (max(1, round(side / part)) for side, part in zip(pixels.shape[-2:], sides, strict=True))
    size = (height * sides[0], width * sides[1])
    if tuple(pixels.shape[-2:]) != size:
        pixels = F.interpolate(pixels, size, mode="bilinear", align_corners=False, antialias=True)
    return pixels, (height, width)


def at_least(pixels: Tensor, side: int) -> Tensor:
    """Stretch smaller sides, which some convolutional networks have nothing left of before their last stage.

    Args:
        pixels: Images [B, C, H, W].
        side: Smallest height and width of the result, the stride of the last stage.

    Returns:
        The images, as they came where they are large enough.
    """
    height, width = pixels.shape[-2:]
    if min(height, width) >= side:
        return pixels
    return F.interpolate(pixels, (max(height, side), max(width, side)), mode="bilinear", align_corners=False)
