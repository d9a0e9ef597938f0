"""The record of a comparison: the scores of all rows and seeds as plain values, as ``compare.json`` holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from semples.data.scenes.settings import ScenesConfig
from semples.runtime.context import Run
from semples.verbs.comparison.scores import RowScores, RunScores, metrics_of
from semples.verbs.comparison.statistics import METRICS, Rows, differences


def facts_of(run: Run) -> dict[str, Any]:
    """Return what is scored: bias and pairs of scenes; else reader, number of images and classes; and the refinement.

    ``images`` counts the training images with a ground-truth mask. ``classes`` are those over which means are taken,
    ``background`` possibly among them; by default background and the classes that training images are tagged with.
    """
    refinement = {"refinement": list(run.config.pseudo_masks.refinement)}
    if isinstance(run.config.data, ScenesConfig):
        return {"bias": run.config.data.bias, "pairs": run.config.data.pairs, **refinement}
    tagged = {tag + 1 for sample in run.dataset.train for tag in sample.tags}
    names = ("background", *run.dataset.catalogue.names)
    return {
        "reader": run.config.data.reader,
        "images": sum(sample.mask_path is not None for sample in run.dataset.train),
        "classes": [names[label] for label in run.averaged_labels or sorted({0} | tagged)],
        **refinement,
    }


def record_of(
    scored: Sequence[RunScores], facts: Mapping[str, Any], kind: str, reference: str | None
) -> dict[str, Any]:
    """Return the record of runs that differ in their seeds.

    Args:
        scored: Scores of each seed.
        facts: What is scored, from :func:`facts_of`.
        kind: "methods" or "variants".
        reference: Row that others are compared with, or None.
    """
    rows = _metrics(scored, "cams")
    record = {"seeds": list(range(len(scored))), **facts, kind: rows}
    record |= _of_methods(scored, facts) if kind == "methods" else {"words_found": _values(scored, "words_right")}
    record["differences"] = differences(rows, reference, kind == "methods")
    record["remarks"] = list(dict.fromkeys(remark for one in scored for remark in one.remarks))
    return record


def _of_methods(scored: Sequence[RunScores], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that a record of methods has beside the metrics of CAMs."""
    shown = facts.get("classes") or facts["pairs"]
    words = {
        row: [{name: list(found) for name, found in each.items() if name in shown} for each in values]
        for row, values in _values(scored, "words").items()
    }
    nearest, right = _values(scored, "nearest"), _values(scored, "words_right")
    first = scored[0]
    return {
        "masks": _metrics(scored, "masks"),
        "supervised_bound": [one.supervised_bound for one in scored if one.supervised_bound is not None] or None,
        "words": [{name: found[0] for name, found in each.items()} for each in words.get("full", ())],
        "words_found": right.get("full", []),
        "nearest_words": words,
        "judged_words": nearest,
        "words_right": right,
        "words_judged": max((len(each) for values in nearest.values() for each in values), default=0),
        "seconds": _values(scored, "seconds"),
        "run_once": [name for name in first.run_once if all(one.rows[name] is first.rows[name] for one in scored)],
        "scores": {
            name: [{"cams": row.cams, "masks": row.masks} for row in found] for name, found in _present(scored).items()
        },
    }


def _present(scored: Sequence[RunScores]) -> dict[str, list[RowScores]]:
    """Return the rows that every seed has, with one value per seed."""
    rows = {name: [one.rows.get(name) for one in scored] for name in scored[0].rows}
    return {name: [row for row in found if row is not None] for name, found in rows.items() if None not in found}


def _values(scored: Sequence[RunScores], attribute: str) -> dict[str, list[Any]]:
    """Return row -> one value per seed, for the rows that have such values."""
    values = {name: [getattr(row, attribute) for row in found] for name, found in _present(scored).items()}
    return {name: found for name, found in values.items() if None not in found}


def _metrics(scored: Sequence[RunScores], attribute: str) -> Rows:
    """Return row -> metric -> one value per seed; None for a row that had nothing to train."""
    table: dict[str, dict[str, list[Any]] | None] = dict.fromkeys(scored[0].rows)
    for name, found in _present(scored).items():
        metrics = [metrics_of(getattr(row, attribute)) for row in found]
        table[name] = {metric: [each[metric] for each in metrics] for metric in METRICS}
    return table
