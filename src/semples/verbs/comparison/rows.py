"""Rows of a comparison for its figure and page: labels, and values over all pairings and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from semples.rundir.labels import METHOD_LABELS
from semples.verbs.comparison.statistics import deviation, pooled


@dataclass(frozen=True)
class Row:
    """A method or variant: metric -> values over all pairings and seeds; empty if it could not run."""

    label: str
    metrics: Mapping[str, Sequence[float]]
    words_found: Sequence[int] = ()


def runs_of(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the record of each pairing."""
    runs: list[dict[str, Any]] = result.get("runs") or [dict(result)]
    return runs


def rows_of(result: Mapping[str, Any]) -> list[Row]:
    """Return one row per method or variant, without the supervised bound."""
    runs = runs_of(result)
    if "variants" in runs[0]:
        found = {name: [n for run in runs for n in run["words_found"].get(name, ())] for name in runs[0]["variants"]}
        return [Row(name, metrics or {}, found[name]) for name, metrics in pooled(_of(runs, "variants")).items()]
    words = [n for run in runs for n in run["words_found"]]
    return [
        Row(METHOD_LABELS[name], metrics or {}, words if name == "full" else ())
        for name, metrics in pooled(_of(runs, "methods")).items()
    ]


def bounds_of(result: Mapping[str, Any]) -> list[float]:
    """Return the held-out mIoU of the network trained on true masks, one per pairing and seed; empty if not run."""
    return [bound for run in runs_of(result) for bound in run.get("supervised_bound") or ()]


def percent(values: Sequence[float]) -> str:
    """Format mean and standard deviation in percent, ``66.4 ± 1.2``; a single value has no deviation."""
    if not values:
        return "-"
    spread = deviation(values)
    return f"{100 * fmean(values):.1f}" + ("" if spread is None else f" ± {100 * spread:.1f}")


def _of(runs: Sequence[Mapping[str, Any]], kind: str) -> list[Any]:
    return [run[kind] for run in runs]
