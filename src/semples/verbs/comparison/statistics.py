"""Computes mean, spread and paired differences over pairings and seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

METRICS = ("miou", "oracle_miou", "false_positive", "false_negative")
"""Metrics of a row: mIoU at the threshold chosen without masks and at the oracle threshold, and the shares of false
positives and negatives at the oracle threshold. A metric is None where it does not exist."""

STUDENT_975 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
"""Quantile 0.975 of Student's t with 1, 2, ... degrees of freedom (any statistics textbook)."""

Rows = Mapping[str, Mapping[str, Sequence[float | None]] | None]
"""Row -> metric -> one value per run; None for a row that could not run."""


def paired_difference(first: Sequence[float], second: Sequence[float]) -> dict[str, Any]:
    """Return the mean of first - second over runs, and its 95 % interval (paired Student's t; None for one run)."""
    differences = [a - b for a, b in zip(first, second, strict=True)]
    mean, count = fmean(differences), len(differences)
    if count < 2:
        return {"mean": mean, "interval": None}
    quantile = STUDENT_975[min(count - 1, len(STUDENT_975)) - 1]
    reach = quantile * stdev(differences) / math.sqrt(count)
    return {"mean": mean, "interval": [mean - reach, mean + reach]}


def differences(rows: Rows, reference: str | None, reference_first: bool) -> dict[str, dict[str, Any]]:
    """Return paired differences of oracle mIoU between the reference and every other row; empty without a reference.

    Args:
        rows: Values of all rows.
        reference: Name of a row, or None.
        reference_first: Whether to subtract the others from the reference, or the reference from the others.
    """
    found = {name: known(metrics["oracle_miou"]) for name, metrics in rows.items() if metrics}
    runs = max(map(len, found.values()), default=0)
    oracle = {name: values for name, values in found.items() if values and len(values) == runs}
    if reference not in oracle:
        return {}
    others = [name for name in oracle if name != reference]
    pairs = [(reference, name) if reference_first else (name, reference) for name in others]
    return {f"{first} - {second}": paired_difference(oracle[first], oracle[second]) for first, second in pairs}


def pooled(tables: Sequence[Rows]) -> dict[str, dict[str, list[float | None]] | None]:
    """Merge the runs of several pairings into one table; rows missing in one of them are left out."""
    names = [name for name in tables[0] if all(table.get(name) for table in tables)]
    return {
        name: {metric: [v for t in tables for v in (t[name] or {})[metric]] for metric in METRICS} for name in names
    }


def spread(rows: Rows) -> dict[str, dict[str, dict[str, float | None]]]:
    """Return mean and standard deviation of each metric of each row; a single run has no deviation."""
    return {
        name: {metric: _spread(known(metrics[metric])) for metric in METRICS}
        for name, metrics in rows.items()
        if metrics
    }


def known(values: Sequence[float | None]) -> list[float]:
    """Return the values that exist."""
    return [value for value in values if value is not None]


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    return {"mean": fmean(values) if values else None, "deviation": deviation(values)}


def deviation(values: Sequence[float]) -> float | None:
    """Return the standard deviation of a sample, None for one value."""
    return stdev(values) if len(values) > 1 else None
