"""The rows of a comparison as people read them: labels, and values over all pairings and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from semples.rundir.labels import METHOD_LABELS
from semples.verbs.comparison.statistics import deviation, pooled


@dataclass(frozen=True)
class Row:
    """A method or variant: figure -> its values over all pairings and seeds, none where it could not be run."""

    label: str
    figures: Mapping[str, Sequence[float]]
    words_found: Sequence[int] = ()


def runs_of(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the records of the pairings."""
    runs: list[dict[str, Any]] = result.get("runs") or [dict(result)]
    return runs


def rows_of(result: Mapping[str, Any]) -> list[Row]:
    """Return one row for each method or variant, without the supervised bound."""
    runs = runs_of(result)
    if "variants" in runs[0]:
        found = {name: [n for run in runs for n in run["words_found"].get(name, ())] for name in runs[0]["variants"]}
        return [Row(name, figures or {}, found[name]) for name, figures in pooled(_of(runs, "variants")).items()]
    words = [n for run in runs for n in run["words_found"]]
    return [
        Row(METHOD_LABELS[name], figures or {}, words if name == "full" else ())
        for name, figures in pooled(_of(runs, "methods")).items()
    ]


def bounds_of(result: Mapping[str, Any]) -> list[float]:
    """Held-out mIoU of the network trained on true masks, over all pairings and seeds; empty where it was not run."""
    return [bound for run in runs_of(result) for bound in run.get("supervised_bound") or ()]


def percent(values: Sequence[float]) -> str:
    """Mean and standard deviation in percent: ``66.4 ± 1.2``, without the deviation for one value."""
    if not values:
        return "-"
    spread = deviation(values)
    return f"{100 * fmean(values):.1f}" + ("" if spread is None else f" ± {100 * spread:.1f}")


def _of(runs: Sequence[Mapping[str, Any]], kind: str) -> list[Any]:
    return [run[kind] for run in runs]
