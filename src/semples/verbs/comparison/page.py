"""Writes a comparison as a Markdown page, with everything needed to reproduce it."""

from __future__ import annotations

import datetime
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from semples.files import write_json, write_text
from semples.rundir.labels import SUPERVISED_BOUND
from semples.runtime.environment import package_versions, source_commit
from semples.verbs.comparison.figure import draw_comparison
from semples.verbs.comparison.rows import Row, bounds_of, percent, rows_of, runs_of

_HEADERS = ("mIoU %, best threshold", "mIoU %, chosen threshold", "false positives %", "false negatives %")
_METRICS = ("oracle_miou", "miou", "false_positive", "false_negative")


def write_page(result: Mapping[str, Any], file: Path, machine: str, command: str | None = None) -> None:
    """Write ``NAME.md``, and beside it ``NAME.png`` and ``NAME.json``.

    Args:
        result: Result of :func:`semples.verbs.comparison.compare`.
        file: The page.
        machine: Kind of machine it was made on (:func:`machine_kind`).
        command: Command that made it.
    """
    draw_comparison(result, file.with_suffix(".png"))
    write_json(file.with_suffix(".json"), result)
    write_text(file, "\n".join(_lines(result, file.stem, machine, command)) + "\n")


def _lines(result: Mapping[str, Any], stem: str, machine: str, command: str | None) -> list[str]:
    ablation = result.get("ablation")
    return [
        f"# Ablation: {ablation}" if ablation else "# Comparison of methods",
        "",
        _summary(result),
        "",
        *_table(result),
        "",
        f"![mIoU, false positives and false negatives of each row]({stem}.png)",
        "",
        *_remarks(result),
        *_origin(machine, command),
    ]


def _summary(result: Mapping[str, Any]) -> str:
    runs = runs_of(result)
    seeds, bias = len(runs[0]["seeds"]), runs[0]["bias"]
    pairings = f"{len(runs)} pairing{'s' * (len(runs) > 1)} of {len(runs[0]['pairs'])} objects with contexts"
    over = "" if len(runs) * seeds == 1 else " Mean and standard deviation over all of them."
    return (
        f"CAMs on the training images of built-in scenes, bias {bias}: {pairings}, {seeds} seed{'s' * (seeds > 1)} "
        f"each.{over} False positives and negatives are taken at the best threshold."
    )


def _table(result: Mapping[str, Any]) -> list[str]:
    rows, bounds = rows_of(result), bounds_of(result)
    with_words = any(row.words_found for row in rows)
    headers = ("", *_HEADERS, *(("prompts that name the context",) if with_words else ()))
    lines = [_cells(headers), _cells(["---"] + ["---:"] * (len(headers) - 1))]
    most = sum(len(run["pairs"]) * len(run["seeds"]) for run in runs_of(result))
    for row in rows:
        words = [_share(row, most)] if with_words else []
        lines.append(_cells([row.label, *(percent(row.metrics[name]) for name in _METRICS), *words]))
    if bounds:
        lines.append(_cells([f"{SUPERVISED_BOUND} (network, held out)", percent(bounds), *[""] * (len(headers) - 2)]))
    return lines


def _share(row: Row, most: int) -> str:
    return f"{sum(row.words_found)} of {most}" if row.words_found else ""


def _cells(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _remarks(result: Mapping[str, Any]) -> list[str]:
    lines = [f"- {name}: {_points(found)}" for name, found in result["summary"]["differences"].items()]
    if lines:
        lines = ["Paired differences of mIoU at the best threshold, in points:", "", *lines, ""]
    remarks = dict.fromkeys(remark for run in runs_of(result) for remark in run["remarks"])
    if remarks:
        lines += [*(f"- {remark[0].upper()}{remark[1:]}." for remark in remarks), ""]
    return lines


def _points(found: Mapping[str, Any]) -> str:
    text = f"{100 * found['mean']:+.1f}"
    if found["interval"] is None:
        return text
    low, high = (f"{100 * end:+.1f}" for end in found["interval"])
    return f"{text} (95 % interval {low} to {high})"


def _origin(machine: str, command: str | None) -> list[str]:
    versions = ", ".join(f"{name} {version}" for name, version in package_versions().items())
    made = [] if command is None else ["```", command, "```", ""]
    return [
        "## Made by",
        "",
        *made,
        f"- commit {source_commit() or 'unknown'}, {datetime.datetime.now(datetime.timezone.utc).date()}",
        f"- {machine}",
        f"- Python {platform.python_version()}, {versions}",
    ]


def machine_kind(device: torch.device) -> str:
    """Describe the processor or GPU of a device, without the machine's name."""
    if device.type == "cuda":
        return f"GPU: {torch.cuda.get_device_name(device)}"
    info = Path("/proc/cpuinfo")
    named = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE) if info.is_file() else None
    processor = named[1] if named else platform.processor() or platform.machine()
    threads = torch.get_num_threads()
    return f"CPU: {processor}, {threads} thread{'s' * (threads > 1)}"
