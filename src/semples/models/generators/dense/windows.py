"""Features of large images, encoded in overlapping windows.

Shapes: B images, H x W pixels, h x w places, D channels. A place covers ``cell`` x ``cell`` pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from semples.models.layers.patches import resize_to_whole_patches


def windowed_features(encode: Callable[[Tensor], Tensor], pixels: Tensor, window: int, cell: int) -> Tensor:
    """Encode images in square windows that overlap by half; where windows overlap, their features are averaged.

    Windows start on whole places, so that their places coincide. An image that fits into one window is encoded as a
    whole.

    Args:
        encode: From pixels [B, 3, n * cell, m * cell] to features [B, n, m, D].
        pixels: Images [B, 3, H, W]; larger images are resized to the nearest whole number of places per side.
        window: Side of a window in pixels, rounded to a whole number of places, at least one.
        cell: Side of a place in pixels.

    Returns:
        Features [B, h, w, D]; an average has float32 or better.

    Raises:
        ValueError: The encoder returns another number of places than a window has.
    """
    if max(pixels.shape[-2:]) <= window:
        return encode(pixels)
    pixels, (height, width) = resize_to_whole_patches(pixels, cell)
    side = max(1, round(window / cell))
    summed: Tensor | None = None
    counts = pixels.new_zeros(height, width, 1)
    for top in window_starts(height, side):
        for left in window_starts(width, side):
            bottom, right = min(top + side, height), min(left + side, width)
            part = encode(pixels[..., top * cell : bottom * cell, left * cell : right * cell])
            if part.shape[1:3] != (bottom - top, right - left):
                raise ValueError(
                    f"window: found features of {tuple(part.shape[1:3])} places, expected "
                    f"{(bottom - top, right - left)}; give the side of a place in pixels as cell"
                )
            if summed is None:
                dtype = torch.promote_types(part.dtype, torch.float32)
                summed = part.new_zeros((len(part), height, width, part.shape[-1]), dtype=dtype)
            summed[:, top:bottom, left:right] += part
            counts[top:bottom, left:right] += 1
    assert summed is not None
    return summed / counts


def window_starts(length: int, side: int) -> list[int]:
    """Return where windows of ``side`` places begin along ``length`` places, half a window apart; the last ends there.

    >>> window_starts(9, 4)
    [0, 2, 4, 5]
    >>> window_starts(3, 4)
    [0]
    """
    last = max(length - side, 0)
    return [*range(0, last, max(1, side // 2)), last]
