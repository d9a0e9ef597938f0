"""Segmentation scores from confusion matrices over a whole data set (numpy only).

Masks are uint8 label maps of any shape: 0 background, k + 1 for class k, 255 ignore. Pixels with 255 in the ground
truth are left out; a predicted 255 counts as background. A label absent from both prediction and truth has no score and
enters no mean (``docs/method.md`` and the evaluation file's format).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from semples.errors import DataError
from semples.records import IGNORE_INDEX

Counts = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float64]

THRESHOLDS = tuple(step / 100 for step in range(101))
"""The thresholds of a sweep: 0.00 to 1.00 in steps of 0.01."""

_ALL_BYTES = 256


class Scores(TypedDict):
    """Scores of a set of masks as in ``evaluation.json``: shares in [0, 1], None for labels that do not occur."""

    images: int
    miou: float | None
    iou: dict[str, float | None]
    false_positive: float | None
    false_negative: float | None
    coverage: float


class ConfusionMatrix:
    """Streaming counts of (truth label, predicted label) pixels.

    Attributes:
        num_labels: L, the object classes and background.
        averaged: Labels whose scores enter the means; all by default.
        counts: Pixels [L, L], int64, rows by truth and columns by prediction.
        unpredicted: Scored pixels with prediction 255, which count as background.
        images: Number of updates.
    """

    def __init__(self, num_labels: int, averaged: Sequence[int] | None = None) -> None:
        _check_num_labels(num_labels)
        self.num_labels = num_labels
        self.averaged = list(range(num_labels) if averaged is None else averaged)
        self.counts: Counts = np.zeros((num_labels, num_labels), np.int64)
        self.unpredicted = 0
        self.images = 0

    def update(self, prediction: npt.NDArray[Any], truth: npt.NDArray[Any]) -> None:
        """Count one image.

        Args:
            prediction: Predicted mask, uint8: below num_labels, or 255.
            truth: Ground-truth mask of the same shape, uint8: below num_labels, or 255.

        Raises:
            ValueError: If the masks differ in shape, are not uint8, or hold another value.
        """
        _check_bytes("prediction", prediction)
        _check_bytes("truth", truth)
        if prediction.shape != truth.shape:
            raise ValueError(f"prediction has shape {prediction.shape}, expected truth's shape {truth.shape}")
        pairs = truth.astype(np.intp).ravel() * _ALL_BYTES + prediction.ravel()
        table = np.bincount(pairs, minlength=_ALL_BYTES**2).reshape(_ALL_BYTES, _ALL_BYTES)
        _check_values("prediction", table.sum(0), self.num_labels)
        _check_values("truth", table.sum(1), self.num_labels)
        scored = table[: self.num_labels]  # without truth's 255
        self.counts += scored[:, : self.num_labels]
        self.counts[:, 0] += scored[:, IGNORE_INDEX]
        self.unpredicted += int(scored[:, IGNORE_INDEX].sum())
        self.images += 1

    @property
    def iou(self) -> Shares:
        """TP / (TP + FP + FN) of each label [L]; NaN where it is absent from prediction and truth."""
        return self._share_of_union(np.diagonal(self.counts))

    @property
    def false_positive_share(self) -> Shares:
        """FP / (TP + FP + FN) of each label [L]; NaN where it is absent from prediction and truth."""
        return self._share_of_union(self.counts.sum(0) - np.diagonal(self.counts))

    @property
    def false_negative_share(self) -> Shares:
        """FN / (TP + FP + FN) of each label [L]; NaN where it is absent from prediction and truth."""
        return self._share_of_union(self.counts.sum(1) - np.diagonal(self.counts))

    @property
    def miou(self) -> float:
        """Mean IoU over the averaged labels that occur, background included; NaN if none occurs."""
        return _mean_of_present(self.iou[self.averaged])

    @property
    def false_positive(self) -> float:
        """Mean false-positive share over the averaged object classes that occur; NaN if none occurs."""
        return _mean_of_present(self.false_positive_share[self._averaged_objects])

    @property
    def false_negative(self) -> float:
        """Mean false-negative share over the averaged object classes that occur; NaN if none occurs."""
        return _mean_of_present(self.false_negative_share[self._averaged_objects])

    @property
    def coverage(self) -> float:
        """Share of the scored pixels with a prediction other than 255; NaN if no pixel was scored."""
        scored = int(self.counts.sum())
        return 1 - self.unpredicted / scored if scored else float("nan")

    def scores(self, class_names: Sequence[str]) -> Scores:
        """Return all scores under the names of ``evaluation.json``, with None for NaN.

        Args:
            class_names: Names of the object classes, without background.

        Raises:
            ValueError: If the names are not num_labels - 1 different ones, none of them "background".
            DataError: If no pixel was scored.
        """
        names = ("background", *class_names)
        if len(names) != self.num_labels or len(set(names)) != len(names):
            raise ValueError(
                f"class names {list(class_names)}, expected {self.num_labels - 1} different object classes"
            )
        self.require_pixels()
        return {
            "images": self.images,
            "miou": _or_none(self.miou),
            "iou": {name: _or_none(value) for name, value in zip(names, self.iou.tolist(), strict=True)},
            "false_positive": _or_none(self.false_positive),
            "false_negative": _or_none(self.false_negative),
            "coverage": self.coverage,
        }

    def require_pixels(self) -> None:
        """Raise DataError if no pixel was scored."""
        if not self.counts.any():
            raise DataError(
                f"{self.images} ground-truth masks have no pixel to score, expected labels other than {IGNORE_INDEX} "
                "(ignore); provide masks with labeled pixels"
            )

    @property
    def _averaged_objects(self) -> list[int]:
        return [label for label in self.averaged if label > 0]

    def _share_of_union(self, part: Counts) -> Shares:
        union = self.counts.sum(0) + self.counts.sum(1) - np.diagonal(self.counts)
        with np.errstate(invalid="ignore"):  # 0 / 0 is NaN on purpose
            shares: Shares = part / union
        return shares


class ThresholdSweep:
    """Confusion matrices of CAMs cut at every threshold of :data:`THRESHOLDS`, computed in one pass.

    The winning class of a pixel and its value do not depend on the threshold, so that one histogram over truth, winning
    label and the number of thresholds below the value holds all matrices. They are exact: a pixel is
    foreground if its value is above the threshold, as in :func:`semples.method.masks.winning_labels`.

    Attributes:
        num_labels: L, the object classes and background.
        averaged: Labels whose scores enter the means, as in :class:`ConfusionMatrix`.
        histogram: Pixels [L, L, 102], int64, by truth, winning label and thresholds below its value.
        images: Number of updates.
    """

    def __init__(self, num_labels: int, averaged: Sequence[int] | None = None) -> None:
        _check_num_labels(num_labels)
        self.num_labels = num_labels
        self.averaged = averaged
        self.histogram: Counts = np.zeros((num_labels, num_labels, len(THRESHOLDS) + 1), np.int64)
        self.images = 0

    def update(self, cams: npt.NDArray[Any], class_ids: Sequence[int] | Counts, truth: npt.NDArray[Any]) -> None:
        """Count one image.

        Args:
            cams: CAMs [K', H, W] of the K' classes present: floats in [0, 1], or uint8 for value / 255. If K' is 0,
                all is background.
            class_ids: Their 0-based class indices [K'], all different.
            truth: Ground-truth mask [H, W], uint8: below num_labels, or 255.

        Raises:
            ValueError: If the shapes disagree or a value is out of range.
        """
        _check_bytes("truth", truth)
        labels = self._labels_of(class_ids)
        expected = (len(labels), *truth.shape)
        if cams.shape != expected:
            raise ValueError(f"CAMs have shape {cams.shape}, expected {expected} to fit class ids and truth")
        if not len(labels):
            cams, labels = np.zeros((1, *truth.shape), np.uint8), np.zeros(1, np.intp)
        value, winner = _max_and_argmax(cams)
        shape = (_ALL_BYTES, len(labels), len(THRESHOLDS) + 1)
        cells = (truth.astype(np.intp) * shape[1] + winner) * shape[2] + _thresholds_below(value)
        table = np.bincount(cells.ravel(), minlength=int(np.prod(shape))).reshape(shape)
        _check_values("truth", table.sum((1, 2)), self.num_labels)
        self.histogram[:, labels] += table[: self.num_labels]
        self.images += 1

    def matrix_at(self, threshold_index: int) -> ConfusionMatrix:
        """Return the confusion matrix of the CAMs cut at ``THRESHOLDS[threshold_index]``.

        Raises:
            ValueError: If there is no such threshold.
        """
        if not 0 <= threshold_index < len(THRESHOLDS):
            raise ValueError(f"threshold index {threshold_index}, expected 0 to {len(THRESHOLDS) - 1}")
        foreground = self.histogram[:, :, threshold_index + 1 :].sum(2)
        matrix = ConfusionMatrix(self.num_labels, self.averaged)
        matrix.counts = foreground
        matrix.counts[:, 0] = self.histogram.sum((1, 2)) - foreground.sum(1)
        matrix.images = self.images
        return matrix

    def best(self) -> tuple[float, ConfusionMatrix]:
        """Return the threshold with the highest mIoU, the lowest such threshold in a tie, and its confusion matrix.

        Raises:
            DataError: If no pixel was scored.
        """
        matrices = [self.matrix_at(index) for index in range(len(THRESHOLDS))]
        matrices[0].require_pixels()
        best = max(range(len(THRESHOLDS)), key=lambda index: matrices[index].miou)
        return THRESHOLDS[best], matrices[best]

    def _labels_of(self, class_ids: Sequence[int] | Counts) -> npt.NDArray[np.intp]:
        labels = np.asarray(class_ids, np.intp) + 1
        if len(set(labels.tolist())) != len(labels) or not np.all((labels > 0) & (labels < self.num_labels)):
            raise ValueError(f"class ids {list(class_ids)}, expected different ones below {self.num_labels - 1}")
        return labels


def _max_and_argmax(cams: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.intp]]:
    """Return the maximum over the first axis and the first index where it occurs, faster than argmax."""
    value = cams.max(0)
    winner = np.zeros(value.shape, np.intp)
    for index in reversed(range(len(cams))):  # downwards, so that the first index wins a tie
        np.copyto(winner, index, where=cams[index] == value)
    return value, winner


def _thresholds_below(value: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Return how many thresholds, 0 to 101, lie strictly below each value, as searchsorted would."""
    floats = value.astype(np.promote_types(value.dtype, np.float32), copy=False)
    if value.dtype == np.uint8:
        floats = floats / 255
    if floats.size and not (floats.min() >= 0 and floats.max() <= 1):  # also true for NaN
        raise ValueError(f"CAMs range from {floats.min():g} to {floats.max():g}, expected values in [0, 1]")
    # Rounding included, THRESHOLDS[step - 1] < value <= THRESHOLDS[step + 1], so one comparison settles it.
    step = (floats * 100).astype(np.intp)
    below: npt.NDArray[np.intp] = step + (floats > np.asarray(THRESHOLDS, floats.dtype)[step])
    return below


def _mean_of_present(shares: Shares) -> float:
    present = shares[~np.isnan(shares)]
    return float(present.mean()) if present.size else float("nan")


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value


def _check_num_labels(num_labels: int) -> None:
    if not 1 <= num_labels <= IGNORE_INDEX:
        raise ValueError(f"{num_labels} labels, expected 1 to {IGNORE_INDEX} with background")


def _check_bytes(name: str, mask: npt.NDArray[Any]) -> None:
    if mask.dtype != np.uint8:
        raise ValueError(f"{name} has dtype {mask.dtype}, expected uint8")


def _check_values(name: str, count_of_value: Counts, num_labels: int) -> None:
    unknown = np.flatnonzero(count_of_value[num_labels:IGNORE_INDEX]) + num_labels
    if unknown.size:
        raise ValueError(
            f"{name} holds the value {unknown[0]}, expected 0 to {num_labels - 1} or {IGNORE_INDEX} (ignore)"
        )
