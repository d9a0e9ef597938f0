"""Calculations that only tests compare with."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from semples.method.masks import winning_labels, with_background


def label_map(cams: Tensor, class_ids: Tensor, threshold: float) -> Tensor:
    """Label map [H, W], uint8, of CAMs [K', H, W] cut at a threshold: their argmax with a constant background."""
    return winning_labels(with_background(cams, threshold), class_ids)


def early_stopping_best(thresholds: Sequence[float], mious: Sequence[float]) -> tuple[float, float]:
    """Threshold and mIoU of a sweep that stops at the first threshold that is no better than the best so far.

    This is how the published SemPLeS chooses. On a curve with two humps it never sees the second (in the golden numbers
    a later threshold is better), and it reads ground truth.

    Args:
        thresholds: In the order of the sweep.
        mious: Mean IoU at each.

    Raises:
        ValueError: If there is no threshold, or not one mIoU for each.
    """
    if not len(thresholds) or len(thresholds) != len(mious):
        raise ValueError(f"{len(thresholds)} thresholds and {len(mious)} mIoUs, expected as many of both, at least one")
    best = 0
    while best + 1 < len(mious) and mious[best + 1] > mious[best]:
        best += 1
    return thresholds[best], mious[best]
