"""Label maps from a segmentation network: several scales, mirror images, whole images or sliding windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from semples.inference.batches import size_batches
from semples.method.masks import labels_at_size
from semples.models.segmentation import SegmentationNetwork
from semples.records import Sample


@torch.no_grad()
def predict_labels(network: SegmentationNetwork, pixels: Tensor) -> NDArray[np.uint8]:
    """Predict label maps uint8 [B, H, W] of images [B, 3, H, W] in [0, 1], as ``network.inference`` says.

    At each scale, relative to the scale of training, the logits of the images and of their mirror images are averaged.
    With several scales, the probabilities are averaged over them, at the size of scale 1. Scores are upsampled to the
    images' own size in bands, so that the largest scale bounds the memory.

    Raises:
        ValueError: The network has no scale to predict at.
    """
    height, width = pixels.shape[-2:]
    # Scale 1 is the scale of training: the short side is as long as the side of the training crops.
    training_scale = network.short_side / min(height, width)
    training_size = _scaled((height, width), training_scale)
    several = len(network.inference.scales) > 1
    total: Tensor | None = None  # [B, C, h, w] at the size of scale 1
    for scale in network.inference.scales:
        size = _scaled((height, width), training_scale * scale)
        scaled = F.interpolate(pixels, size, mode="bilinear", align_corners=False, antialias=True)
        # Twice the mean: for one scale the factor does not change which score is the highest.
        scores = _logits(network, scaled) + _logits(network, scaled.flip(-1)).flip(-1)
        if several:
            scores = (scores / 2).softmax(1)
        if size != training_size:
            scores = F.interpolate(scores, training_size, mode="bilinear", align_corners=False)
        total = scores if total is None else total + scores
    if total is None:
        raise ValueError("scales: found none; expected at least one")
    return np.asarray(labels_at_size(total, (height, width)).cpu().numpy())


def prediction_batches(network: SegmentationNetwork, samples: Sequence[Sample]) -> Iterator[list[int]]:
    """Yield batches of indices of samples of equal size, bounded in memory at the largest scale."""
    return size_batches(samples, round(network.short_side * max(1.0, *network.inference.scales)))


def window_starts(length: int, window: int) -> list[int]:
    """Return the starts of windows that cover an axis, 2/3 of a window apart, the last one aligned with the end.

    Args:
        length: Length of the axis.
        window: Length of a window; an axis that is not longer has one window, the whole axis.
    """
    stride = max(1, round(window * 2 / 3))
    return [*range(0, max(0, length - window), stride), max(0, length - window)]


def slide(network: torch.nn.Module, pixels: Tensor, window: int) -> Tensor:
    """Average the logits of overlapping square windows.

    Args:
        network: Maps pixels [B, 3, h, w] to logits [B, C, h, w].
        pixels: Images [B, 3, H, W].
        window: Side of the windows; where a side of the images is shorter, windows have its length.

    Returns:
        Logits [B, C, H, W]; each is the mean over the windows that cover the pixel.
    """
    height, width = pixels.shape[-2:]
    total: Tensor | None = None
    count = pixels.new_zeros(height, width)
    for top in window_starts(height, window):
        for left in window_starts(width, window):
            patch = (..., slice(top, top + window), slice(left, left + window))
            logits = network(pixels[patch])
            if total is None:
                total = logits.new_zeros(*logits.shape[:2], height, width)
            total[patch] += logits
            count[patch] += 1
    assert total is not None  # every axis has at least one window
    return total / count


def _logits(network: SegmentationNetwork, pixels: Tensor) -> Tensor:
    return slide(network, pixels, network.short_side) if network.inference.slides else network(pixels)


def _scaled(size: tuple[int, int], scale: float) -> list[int]:
    return [max(1, round(side * scale)) for side in size]
