"""Cutting CAMs into label maps at a threshold, before and after each refinement step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from semples.method.masks import winning_labels, with_background

Threshold = float | Tensor
"""One threshold for all classes, or one for each, [K']."""

RefinementStep = Callable[[Tensor, Tensor], Tensor]
"""Maps an image [3, H, W] in [0, 1] and scores [K'+1, H, W] to refined scores (:mod:`semples.method.refinement`)."""


def refined_label_maps(
    image: Tensor, cams: Tensor, class_ids: Tensor, steps: Sequence[RefinementStep], threshold: Threshold
) -> list[Tensor]:
    """Cut CAMs before any refinement step and after each.

    Args:
        image: Colors [3, H, W] in [0, 1].
        cams: CAMs [K', H, W] in [0, 1] of the classes present.
        class_ids: 0-based indices [K'] of these classes, int64.
        steps: S refinement steps, applied one after the other.
        threshold: Background score before the first step: one number, or one for each class [K']. With one for each
            class, a pixel gets the class whose CAM is the furthest above its threshold.

    Returns:
        S + 1 label maps [H, W], uint8: 0 is background, class k is k + 1.
    """
    return [winning_labels(scores, class_ids) for scores in refined_scores(image, cams, steps, threshold)]


def refined_scores(image: Tensor, cams: Tensor, steps: Sequence[RefinementStep], threshold: Threshold) -> list[Tensor]:
    """Return scores [K'+1, H, W], background first, before any refinement step and after each.

    The arguments have the same meaning as in :func:`refined_label_maps`.
    """
    if isinstance(threshold, Tensor):
        # Thresholds that differ by class cannot be one background channel: shift each map by its own, and cut at 0.
        scores = [with_background(cams - threshold[:, None, None], 0.0)]
    else:
        scores = [with_background(cams, threshold)]
    for step in steps:
        scores.append(step(image, scores[-1]))
    return scores


def band_ends(threshold: Threshold, width: float) -> tuple[Threshold, Threshold]:
    """Return the lower and the upper end of the ignore band around a threshold, or around each of several, in [0, 1].

    Pixels that the two ends label differently are uncertain (:func:`semples.method.masks.ignore_band`).
    """
    if isinstance(threshold, Tensor):
        return (threshold - width / 2).clamp(min=0), (threshold + width / 2).clamp(max=1)
    return max(0.0, threshold - width / 2), min(1.0, threshold + width / 2)
