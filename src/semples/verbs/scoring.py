"""``semples evaluate``: scores one folder of masks against another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from semples.data.images import read_mask
from semples.errors import DataError
from semples.method.metrics import ConfusionMatrix


def evaluate(predictions: Path | str, truth: Path | str, classes: Sequence[str]) -> dict[str, Any]:
    """Score a folder of masks against another; every ``ID.png`` of ``truth`` needs a prediction of the same size.

    Returns:
        mIoU and shares as in evaluation.json, and the false positives and negatives of each class.

    Raises:
        DataError: A folder or mask is missing, or a mask does not match its truth.
    """
    predictions, truth = Path(predictions), Path(truth)
    if not truth.is_dir() or not predictions.is_dir():
        missing = predictions if truth.is_dir() else truth
        raise DataError(f"{missing}: not a folder; give a folder of PNG masks")
    paths = sorted(truth.rglob("*.png"))
    if not paths:
        raise DataError(f"{truth}: contains no PNG masks; give a folder of PNG masks")
    matrix = ConfusionMatrix(len(classes) + 1)
    for path in paths:
        target = read_mask(path, None, len(classes))
        other = predictions / path.relative_to(truth)
        if not other.is_file():
            raise DataError(f"{other}: does not exist, but {path} does; predict this image, or remove its truth")
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
