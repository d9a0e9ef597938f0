"""From CAMs to label maps: cut at a threshold, before and after each refinement step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from torch import Tensor

from semples.method.masks import winning_labels, with_background

Threshold = TypeVar("Threshold", float, Tensor)
RefinementStep = Callable[[Tensor, Tensor], Tensor]
"""Image [3, H, W] in [0, 1] and scores [K'+1, H, W] in, scores out (:mod:`semples.method.refinement`)."""


def refined_label_maps(
    image: Tensor, cams: Tensor, class_ids: Tensor, steps: Sequence[RefinementStep], threshold: float | Tensor
) -> list[Tensor]:
    """Cut CAMs before any refinement step and after each.

    Args:
        image: Colours [3, H, W] in [0, 1].
        cams: CAMs [K', H, W] in [0, 1] of the classes present.
        class_ids: Their 0-based class indices [K'], int64.
        steps: S refinement steps, done one after the other.
        threshold: Background score before the first step, for all classes or for each [K']. With several, a pixel has
            the class that is the furthest above its own.

    Returns:
        S + 1 label maps [H, W], uint8: 0 is background, class k is k + 1.
    """
    return [winning_labels(scores, class_ids) for scores in refined_scores(image, cams, steps, threshold)]


def refined_scores(
    image: Tensor, cams: Tensor, steps: Sequence[RefinementStep], threshold: float | Tensor
) -> list[Tensor]:
    """Scores [K'+1, H, W], background first, before any refinement step and after each.

    Arguments are those of :func:`refined_label_maps`.
    """
    if isinstance(threshold, Tensor):
        scores = [with_background(cams - threshold[:, None, None], 0.0)]
    else:
        scores = [with_background(cams, threshold)]
    for step in steps:
        scores.append(step(image, scores[-1]))
    return scores


def band_ends(threshold: Threshold, width: float) -> tuple[Threshold, Threshold]:
    """Lower and upper end, in [0, 1], of the ignore band around a threshold, or around each of several."""
    if isinstance(threshold, Tensor):
        return (threshold - width / 2).clamp(min=0), (threshold + width / 2).clamp(max=1)
    return max(0.0, threshold - width / 2), min(1.0, threshold + width / 2)
