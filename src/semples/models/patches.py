"""Images of any size for transformers, which see whole patches only."""

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
