"""Builds tables for the terminal: scores, comparisons, learned words and findings. IoUs are in percent.

The widest table fits 80 columns, the width that rich assumes without a terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from semples.rundir.evaluation import Evaluation
from semples.rundir.labels import METHOD_LABELS, PSEUDO_MASKS, SUPERVISED_BOUND

_MISSING = "-"


def evaluation_table(evaluation: Evaluation) -> Table:
    """Return a table with one row per result of a run, in the order of the stages."""
    headers = (
        "mIoU %",
        "oracle\nmIoU %",
        "threshold",
        "oracle\nthreshold",
        "false\npositive",
        "false\nnegative",
    )
    table = _table("result", *headers)
    for score in evaluation.scores:
        table.add_row(
            score.label,
            _percent(score.miou),
            _percent(score.oracle_miou),
            _plain(score.threshold),
            _plain(score.oracle_threshold),
            _plain(score.false_positive),
            _plain(score.false_negative),
        )
        if score.label == PSEUDO_MASKS and score.criterion:
            table.caption = f"thresholds: {score.criterion}"
    return table


def stages_table(stages: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return a table with one row per stage of a run: its time, its peak memory so far, and its status.

    Args:
        stages: Folder of each stage -> its entry in ``manifest.json``.
    """
    table = _table("stage", "seconds", "memory MB")
    table.add_column("", overflow="fold")
    for name, entry in sorted(stages.items()):
        notes = [str(entry["status"]), *filter(None, [entry.get("reason")]), *entry.get("warnings", ())]
        table.add_row(name, _whole(entry.get("seconds")), _whole(entry.get("peak_memory_mb")), Text("; ".join(notes)))
    return table


def scores_table(evaluation: Mapping[str, Any]) -> Table:
    """Return a table of the IoU of each class and their mean; classes absent from prediction and truth have none.

    Args:
        evaluation: One result, laid out as ``E`` in ``evaluation.json``.
    """
    table = _table("class", "IoU %")
    for name, iou in evaluation["iou"].items():
        table.add_row(Text(name), _percent(iou))
    table.add_section()
    table.add_row("mean", _percent(evaluation["miou"]))
    parts = [f"{evaluation['images']} images"] + [
        f"{name.replace('_', ' ')} {_plain(evaluation[name])}"
        for name in ("false_positive", "false_negative", "coverage")
        if name in evaluation
    ]
    table.min_width = max(len(part) for part in parts)
    table.caption = "\n".join(parts)
    return table


def comparison_table(result: Mapping[str, Any]) -> Table:
    """Return a table with one row per method or variant: mean over the seeds (smallest to largest).

    Args:
        result: The JSON object printed by ``semples compare``: one pairing, or several under ``"runs"``.
    """
    table = _table(
        "variant" if "ablation" in result else "method", "mIoU %", "oracle mIoU %", "false positive", "false negative"
    )
    runs = result.get("runs", [result])
    captions = []
    for number, run in enumerate(runs, start=1):
        pairing = f"pairing {number}" if len(runs) > 1 else ""
        table.add_section()
        if pairing:
            table.add_row(Text(pairing, style="bold"))
        _add_methods(table, run)
        captions += [*_words_found(pairing, run), *_differences(run), *run.get("remarks", ())]
    if len(runs) > 1 and "summary" in result:
        captions += ["all pairings:", *_differences(result["summary"])]
    table.caption = "\n".join(captions)
    return table


def words_table(words: Mapping[str, Sequence[tuple[str, float]]]) -> Table:
    """Return a table of the words nearest to each class's learned prompt, nearest first, with their scores."""
    table = _table("class")
    table.add_column("nearest words")
    for name, nearest in words.items():
        table.add_row(Text(name), Text(", ".join(f"{word} {score:.2f}" for word, score in nearest)))
    return table


def findings_table(findings: Sequence[Mapping[str, str]]) -> Table:
    """Return a table with one row per finding of ``semples doctor``, and the advice below it.

    Args:
        findings: Each with "subject", "state" ("ok", "note" or "problem"), "found" and "advice" (may be empty).
    """
    table = _table("", "")
    table.columns[1].justify = "left"
    table.add_column("found", overflow="fold")
    for finding in findings:
        advice = f"\n-> {finding['advice']}" if finding["advice"] else ""
        table.add_row(finding["subject"], finding["state"], Text(finding["found"] + advice))
    return table


def _table(first: str, *numbers: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True, caption_justify="left")
    table.add_column(first, no_wrap=True)
    for header in numbers:
        table.add_column(header, justify="right")
    return table


def _add_methods(table: Table, run: Mapping[str, Any]) -> None:
    """Add the CAMs of every method or variant, and then the masks after refinement, if they were scored."""
    rows = run.get("variants") or run["methods"]
    labels = METHOD_LABELS if "methods" in run else {name: name for name in rows}
    _add_rows(table, rows, labels)
    if run.get("supervised_bound"):
        table.add_row(SUPERVISED_BOUND, _spread(run["supervised_bound"], _percent))
    if "masks" in run:
        table.add_section()
        table.add_row(Text("masks after refinement", style="bold"))
        _add_rows(table, run["masks"], labels)


def _add_rows(table: Table, rows: Mapping[str, Any], labels: Mapping[str, str]) -> None:
    for name, label in labels.items():
        found = rows.get(name, {})
        if found is None:  # the generator has nothing to train
            table.add_row(label, *[_MISSING] * 4)
        elif found:
            table.add_row(
                label,
                _spread(found["miou"], _percent),
                _spread(found["oracle_miou"], _percent),
                _spread(found["false_positive"], _plain),
                _spread(found["false_negative"], _plain),
            )


def _words_found(pairing: str, run: Mapping[str, Any]) -> list[str]:
    """Return one line for the full method, or one per row of a comparison or ablation that learned prompts."""
    if "pairs" not in run:
        most = run["words_judged"]
        return [
            f"{METHOD_LABELS[name]}: words right, per seed: {', '.join(map(str, counts))} of {most}"
            for name, counts in run["words_right"].items()
        ]
    pairs = run["pairs"]
    title = f"{pairing}: " if pairing else ""
    if "variants" in run:
        return [_found(f"{title}{name}: ", counts, len(pairs)) for name, counts in run["words_found"].items()]
    counts = [sum(words.get(name) == context for name, context in pairs.items()) for words in run["words"]]
    return [_found(title, counts, len(pairs))] if counts else []


def _found(title: str, counts: Sequence[int], most: int) -> str:
    return f"{title}prompts that name their class's context, per seed: {', '.join(map(str, counts))} of {most}"


def _differences(run: Mapping[str, Any]) -> list[str]:
    """Return one line per paired difference of oracle mIoU, in points, with its 95 % interval."""
    lines = []
    for name, found in run.get("differences", {}).items():
        line = f"{name}: {100 * found['mean']:+.1f} points of oracle mIoU"
        if found["interval"]:
            lowest, highest = (f"{100 * end:+.1f}" for end in found["interval"])
            line += f", 95 % interval {lowest} to {highest}"
        lines.append(line)
    return lines


def _spread(values: Sequence[float | None], show: Callable[[float | None], str]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return _MISSING
    lowest, highest = show(min(known)), show(max(known))
    return show(fmean(known)) + (f" ({lowest}-{highest})" if lowest != highest else "")


def _percent(share: float | None) -> str:
    return _MISSING if share is None else f"{100 * share:.1f}"


def _whole(value: float | None) -> str:
    return _MISSING if value is None else f"{value:.0f}"


def _plain(value: float | None) -> str:
    return _MISSING if value is None else f"{value:.2f}"
