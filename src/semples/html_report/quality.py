"""Scores one image's masks, and measures how much they change between stages."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from semples.records import IGNORE_INDEX

Labels = npt.NDArray[np.uint8]


def cut_maps(cams: Mapping[int, Labels], threshold: float, shape: tuple[int, int]) -> Labels:
    """Cut maps {class: [h,w] uint8, 255 = 1.0} into labels [h,w], as ``semples.method.masks.winning_labels`` does."""
    labels = np.zeros(shape, dtype=np.uint8)
    best = np.full(shape, 255 * threshold)
    for index, cam in cams.items():
        wins = cam > best
        labels[wins] = index + 1
        best[wins] = cam[wins]
    return labels


def mean_iou(labels: Labels, truth: Labels) -> float | None:
    """Mean IoU of one image over the background and the classes that occur in it; None if all of it is ignored."""
    known = truth != IGNORE_INDEX
    predicted = np.where(labels == IGNORE_INDEX, 0, labels)[known].astype(np.int64)  # ignored predictions: background
    target = truth[known].astype(np.int64)
    intersection = np.bincount(target[predicted == target], minlength=256)
    union = np.bincount(predicted, minlength=256) + np.bincount(target, minlength=256) - intersection
    occurs = union > 0
    return float(np.mean(intersection[occurs] / union[occurs])) if occurs.any() else None


def changed_share(before: Labels, after: Labels) -> float:
    """Share of pixels whose label differs."""
    return float(np.mean(before != after))
