"""Rows of a comparison for its figure and page: labels, and values over all pairings and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from semples.rundir.labels import METHOD_LABELS
from semples.verbs.comparison.statistics import deviation, known, pooled


@dataclass(frozen=True)
class Row:
    """A method or variant, with its values over all pairings and seeds.

    Attributes:
        label: Its label.
        metrics: Metric of the CAMs -> values; empty if it could not run.
        words_found: Numbers of prompts with a right word; empty without prompts.
        masks: Metric of the masks after refinement -> values; empty if they were not scored.
        seconds: Durations of its own stages; empty if they are unknown.
    """

    label: str
    metrics: Mapping[str, Sequence[float | None]]
    words_found: Sequence[int] = ()
    masks: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    seconds: Sequence[float] = ()


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
    once = set(runs[0].get("run_once", ()))
    masks = pooled(_of(runs, "masks")) if "masks" in runs[0] else {}
    rows = []
    for name, metrics in pooled(_of(runs, "methods")).items():
        end = 1 if name in once else None  # the same value for every seed
        words_found = [n for run in runs for n in _words_right(run).get(name, ())]
        seconds = [value for run in runs for value in run.get("seconds", {}).get(name, ())]
        cut = [{each: values[:end] for each, values in (found or {}).items()} for found in (metrics, masks.get(name))]
        rows.append(Row(METHOD_LABELS[name], cut[0], words_found[:end], cut[1], seconds[:end]))
    return rows


def words_judged(run: Mapping[str, Any]) -> int:
    """Return the number of classes whose prompts were judged in a run's record."""
    return int(run["words_judged"] if "words_judged" in run else len(run["pairs"]))


def _words_right(run: Mapping[str, Any]) -> Mapping[str, Sequence[int]]:
    """Return row -> numbers of right words; an older record has those of the full method alone."""
    right: Mapping[str, Sequence[int]] = run.get("words_right", {"full": run["words_found"]})
    return right


def bounds_of(result: Mapping[str, Any]) -> list[float]:
    """Return the held-out mIoU of the network trained on true masks, one per pairing and seed; empty if not run."""
    return [bound for run in runs_of(result) for bound in run.get("supervised_bound") or ()]


def percent(values: Sequence[float | None]) -> str:
    """Format mean and standard deviation in percent, ``66.4 ± 1.2``; a single value has no deviation."""
    found = known(values)
    if not found:
        return "-"
    spread = deviation(found)
    return f"{100 * fmean(found):.1f}" + ("" if spread is None else f" ± {100 * spread:.1f}")


def _of(runs: Sequence[Mapping[str, Any]], kind: str) -> list[Any]:
    return [run[kind] for run in runs]
