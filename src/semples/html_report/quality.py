"""How good the masks of one image are, and how much they change from stage to stage."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from semples.records import IGNORE_INDEX

Labels = npt.NDArray[np.uint8]


def cut(cams: Mapping[int, Labels], threshold: float, shape: tuple[int, int]) -> Labels:
    """Cut maps {class: [h,w] uint8, 255 = 1.0} into labels [h,w], as ``semples.method.masks.winning_labels`` does."""
    labels = np.zeros(shape, dtype=np.uint8)
    best = np.full(shape, 255 * threshold)
    for index, cam in cams.items():
        wins = cam > best
        labels[wins] = index + 1
        best[wins] = cam[wins]
    return labels


def mean_iou(labels: Labels, truth: Labels) -> float | None:
    """Mean IoU of one image over background and classes that occur in it; None where all of it is ignored."""
    known = truth != IGNORE_INDEX
    found = np.where(labels == IGNORE_INDEX, 0, labels)[known].astype(np.int64)
    right = truth[known].astype(np.int64)
    both = np.bincount(right[found == right], minlength=256)
    either = np.bincount(found, minlength=256) + np.bincount(right, minlength=256) - both
    occurs = either > 0
    return float(np.mean(both[occurs] / either[occurs])) if occurs.any() else None


def changed(before: Labels, after: Labels) -> float:
    """Share of the pixels whose label is another one."""
    return float(np.mean(before != after))
