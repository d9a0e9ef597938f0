"""Label maps by a segmentation network: several scales, mirror images, whole images or sliding windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from semples.data.crops import to_pixels
from semples.data.images import read_image, write_mask
from semples.files import Writer
from semples.inference.cams import size_batches, unfinished
from semples.method.masks import labels_at_size
from semples.models.segmentation import SegmentationNetwork
from semples.parallel.processes import barrier, shard
from semples.records import Sample
from semples.runtime.run import Run


@torch.no_grad()
def predict_labels(network: SegmentationNetwork, pixels: Tensor) -> NDArray[np.uint8]:
    """Predict label maps uint8 [B, H, W] of images [B, 3, H, W] in [0, 1], as ``network.inference`` says.

    The network sees the images at each scale, relative to the one it was trained at, each and its mirror image, whose
    logits are averaged. Of several scales the probabilities are averaged, at the size of scale 1. Scores come to the
    images' own size in bands, so that memory is that of the largest scale.
    """
    height, width = pixels.shape[-2:]
    at_training = network.short_side / min(height, width)
    target = _scaled((height, width), at_training)
    scores: Tensor | None = None
    for scale in network.inference.scales:
        size = _scaled((height, width), at_training * scale)
        scaled = F.interpolate(pixels, size, mode="bilinear", align_corners=False, antialias=True)
        found = _logits(network, scaled) + _logits(network, scaled.flip(-1)).flip(-1)
        if len(network.inference.scales) > 1:
            found = (found / 2).softmax(1)
        if size != target:
            found = F.interpolate(found, target, mode="bilinear", align_corners=False)
        scores = found if scores is None else scores + found
    if scores is None:
        raise ValueError("no scale to predict at, expected at least one")
    return np.asarray(labels_at_size(scores, (height, width)).cpu().numpy())


def prediction_batches(network: SegmentationNetwork, samples: Sequence[Sample]) -> Iterator[list[int]]:
    """Indices of samples of equal size in batches that fit the memory at the largest scale."""
    return size_batches(samples, round(network.short_side * max(1.0, *network.inference.scales)))


def predict_samples(run: Run, network: SegmentationNetwork, samples: tuple[Sample, ...], folder: Path) -> None:
    """Write the predicted mask ``ID.png`` of every sample; batches whose files are all there are passed over.

    Every process does its share of the batches; all are there at the end.
    """
    batches = unfinished(shard(list(prediction_batches(network, samples))), samples, folder, ".png")
    with Writer() as writer:
        for indices in run.log.track(batches, "predictions"):
            pixels = torch.stack([to_pixels(read_image(samples[i].path)) for i in indices]).to(run.device)
            for index, mask in zip(indices, predict_labels(network, pixels), strict=True):
                writer.add(write_mask, folder / f"{samples[index].id}.png", mask)
    barrier()


def window_starts(length: int, window: int) -> list[int]:
    """Starts of windows that cover an axis, 2/3 of a window apart and the last one at the end.

    Args:
        length: Of the axis.
        window: Of a window; an axis that is no longer has one window, which is the axis.
    """
    stride = max(1, round(window * 2 / 3))
    return [*range(0, max(0, length - window), stride), max(0, length - window)]


def slide(network: torch.nn.Module, pixels: Tensor, window: int) -> Tensor:
    """Average the logits of overlapping square windows.

    Args:
        network: Pixels [B, 3, h, w] to logits [B, C, h, w].
        pixels: Images [B, 3, H, W].
        window: Side of the windows; a shorter side of the images is covered by windows of that length.

    Returns:
        Logits [B, C, H, W]; each is the sum over the windows that cover the pixel, divided by their number.
    """
    height, width = pixels.shape[-2:]
    total: Tensor | None = None
    count = pixels.new_zeros(height, width)
    for top in window_starts(height, window):
        for left in window_starts(width, window):
            part = (..., slice(top, top + window), slice(left, left + window))
            logits = network(pixels[part])
            if total is None:
                total = logits.new_zeros(*logits.shape[:2], height, width)
            total[part] += logits
            count[part] += 1
    assert total is not None  # an axis has a window, however short it is
    return total / count


def _logits(network: SegmentationNetwork, pixels: Tensor) -> Tensor:
    return slide(network, pixels, network.short_side) if network.inference.slides else network(pixels)


def _scaled(size: tuple[int, int], scale: float) -> list[int]:
    return [max(1, round(side * scale)) for side in size]
