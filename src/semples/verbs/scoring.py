"""``semples evaluate``: scores of one folder of masks against another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from semples.data.images import read_mask
from semples.errors import DataError
from semples.method.metrics import ConfusionMatrix


def evaluate(predictions: Path | str, truth: Path | str, classes: Sequence[str]) -> dict[str, Any]:
    """Score a folder of masks against another: every ``ID.png`` of ``truth`` needs one of the same size.

    Returns:
        mIoU and shares as in evaluation.json, and per class false positives and negatives.

    Raises:
        DataError: A folder or mask is missing, or does not fit.
    """
    predictions, truth = Path(predictions), Path(truth)
    if not truth.is_dir() or not predictions.is_dir():
        missing = predictions if truth.is_dir() else truth
        raise DataError(f"{missing} is not there: give a folder of PNG masks")
    paths = sorted(truth.rglob("*.png"))
    if not paths:
        raise DataError(f"{truth} holds no PNG masks: give a folder of them")
    matrix = ConfusionMatrix(len(classes) + 1)
    for path in paths:
        target = read_mask(path, None, len(classes))
        other = predictions / path.relative_to(truth)
        if not other.is_file():
            raise DataError(f"{other} is not there, but {path} is: predict that image or remove its truth")
        height, width = target.shape
        matrix.update(read_mask(other, (height, width), len(classes)), target)
    return {**matrix.scores(classes), "per_class": _per_class(matrix, ("background", *classes))}


def _per_class(matrix: ConfusionMatrix, names: Sequence[str]) -> dict[str, dict[str, float]]:
    shares = zip(names, matrix.iou, matrix.false_positive_share, matrix.false_negative_share, strict=True)
    return {
        name: {"iou": float(iou), "false_positive": float(fp), "false_negative": float(fn)}
        for name, iou, fp, fn in shares
        if iou == iou  # not NaN: the class occurs
    }
