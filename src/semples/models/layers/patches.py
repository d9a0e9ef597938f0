"""Sizes of images: whole patches for transformers, and a smallest side for convolutions with strides."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def resize_to_whole_patches(
    pixels: Tensor, patch: int | tuple[int, int], antialias: bool = True
) -> tuple[Tensor, tuple[int, int]]:
    """Resize to the nearest whole number of patches per side, at least one, so that no edge is cut off.

    Args:
        pixels: Images [B, C, H, W].
        patch: Side of a patch, or its height and width.
        antialias: Smooth images that shrink. A network has to be given images resized as in its training.

    Returns:
        The images, unchanged if they fit already, and the rows and columns of patches (h, w).
    """
    sides = (patch, patch) if isinstance(patch, int) else patch
    if sides == (1, 1):
        return pixels, (pixels.shape[-2], pixels.shape[-1])
    height, width = (max(1, round(side / part)) for side, part in zip(pixels.shape[-2:], sides, strict=True))
    size = (height * sides[0], width * sides[1])
    if tuple(pixels.shape[-2:]) != size:
        pixels = F.interpolate(pixels, size, mode="bilinear", align_corners=False, antialias=antialias)
    return pixels, (height, width)


def enlarge_to(pixels: Tensor, side: int) -> Tensor:
    """Stretch sides that are too short for the last stage of some convolutional networks.

    Args:
        pixels: Images [B, C, H, W].
        side: Smallest height and width of the result, the stride of the last stage.

    Returns:
        The images, unchanged if they are large enough.
    """
    height, width = pixels.shape[-2:]
    if min(height, width) >= side:
        return pixels
    return F.interpolate(pixels, (max(height, side), max(width, side)), mode="bilinear", align_corners=False)
