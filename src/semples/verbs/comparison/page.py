"""Writes a comparison as a Markdown page, with everything needed to reproduce it."""

from __future__ import annotations

import datetime
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from semples.errors import ConfigError
from semples.files import write_json, write_text
from semples.rundir.labels import METHOD_LABELS, SUPERVISED_BOUND
from semples.runtime.environment import package_versions, source_commit
from semples.verbs.comparison.figure import draw_comparison
from semples.verbs.comparison.rows import Row, bounds_of, percent, rows_of, runs_of, words_judged

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


def page_file(results: Path, out: Path) -> Path:
    """Return the file of a page; in a folder it has the name of the comparison's own folder.

    Raises:
        ConfigError: The file is not a Markdown file.
    """
    if results.is_dir() or not results.suffix:
        return results / f"{out.resolve().name}.md"
    if results.suffix != ".md":
        raise ConfigError(
            f"results: {results} is not a Markdown page; expected a folder, or a file name that ends with .md"
        )
    return results


def _lines(result: Mapping[str, Any], stem: str, machine: str, command: str | None) -> list[str]:
    ablation = result.get("ablation")
    return [
        f"# Ablation: {ablation}" if ablation else "# Comparison of methods",
        "",
        _summary(result),
        "",
        *_table(result),
        "",
        *_masks_table(result),
        f"![mIoU, false positives and false negatives of each row]({stem}.png)",
        "",
        *_words_table(result),
        *_remarks(result),
        *_origin(machine, command),
    ]


def _summary(result: Mapping[str, Any]) -> str:
    runs = runs_of(result)
    seeds = len(runs[0]["seeds"])
    each = f"{seeds} seed{'s' * (seeds > 1)}"
    if "pairs" not in runs[0]:
        return _summary_of_images(runs[0], each)
    pairings = f"{len(runs)} pairing{'s' * (len(runs) > 1)} of {len(runs[0]['pairs'])} objects with contexts"
    over = "" if len(runs) * seeds == 1 else " Mean and standard deviation over all of them."
    return (
        f"CAMs on the training images of built-in scenes, bias {runs[0]['bias']}: {pairings}, {each} "
        f"each.{over} False positives and negatives are taken at the best threshold."
    )


def _summary_of_images(run: Mapping[str, Any], seeds: str) -> str:
    once = ", except of rows in which nothing depends on the seed" if run["run_once"] else ""
    over = f" Mean and standard deviation over the seeds{once}." if len(run["seeds"]) > 1 else ""
    return (
        f"CAMs on {run['images']} training images (reader {run['reader']}), {seeds}; IoU is averaged over "
        f"{', '.join(run['classes'])}.{over} False positives and negatives are taken at the best threshold. Seconds "
        "are those of the stages that no row above has run."
    )


def _table(result: Mapping[str, Any]) -> list[str]:
    rows, bounds, runs = rows_of(result), bounds_of(result), runs_of(result)
    with_words, with_seconds = any(row.words_found for row in rows), any(row.seconds for row in rows)
    words_header = "prompts that name the context" if "pairs" in runs[0] else "words right"
    headers = ["", *_HEADERS, *[words_header] * with_words, *["seconds"] * with_seconds]
    lines = [_cells(headers), _cells(["---"] + ["---:"] * (len(headers) - 1))]
    most = words_judged(runs[0])
    for row in rows:
        more = [_share(row, most)] * with_words + [_seconds(row)] * with_seconds
        lines.append(_cells([row.label, *(percent(row.metrics[name]) for name in _METRICS), *more]))
    if bounds:
        lines.append(_cells([f"{SUPERVISED_BOUND} (network, held out)", percent(bounds), *[""] * (len(headers) - 2)]))
    return lines


def _masks_table(result: Mapping[str, Any]) -> list[str]:
    """Return a table of the masks after refinement, if they were scored."""
    rows = [row for row in rows_of(result) if row.masks]
    if not rows:
        return []
    steps = ", then ".join(runs_of(result)[0]["refinement"])
    lines = [f"Masks after {steps}:" if steps else "Masks, without a refinement:", ""]
    lines += [_cells(("", *_HEADERS)), _cells(["---"] + ["---:"] * len(_HEADERS))]
    return lines + [_cells([row.label, *(percent(row.masks[name]) for name in _METRICS)]) for row in rows] + [""]


def _words_table(result: Mapping[str, Any]) -> list[str]:
    """Return a table of the word nearest to each prompt, seed by seed, for images of which no context is known."""
    run = runs_of(result)[0]
    if "pairs" in run or not run["nearest_words"]:
        return []
    title = ["Word nearest to the prompt"]
    tables = [{row: [_first(each) for each in values] for row, values in run["nearest_words"].items()}]
    if run["judged_words"]:
        title, tables = [*title, "Nearest of the nouns that prompts are judged by"], [*tables, run["judged_words"]]
    lines = []
    for name, table in zip(title, tables, strict=True):
        by_row = {row: values[: 1 if row in run["run_once"] else None] for row, values in table.items()}
        classes = list(next(iter(by_row.values()))[0])
        lines += [f"{name}, for each seed:", "", _cells(["", *classes]), _cells(["---"] * (len(classes) + 1))]
        for row, values in by_row.items():
            cells = (", ".join(each[label] for each in values) for label in classes)
            lines.append(_cells([METHOD_LABELS[row], *cells]))
        lines.append("")
    return lines


def _first(words: Mapping[str, Sequence[str]]) -> dict[str, str]:
    return {name: nearest[0] for name, nearest in words.items()}


def _share(row: Row, most: int) -> str:
    return f"{sum(row.words_found)} of {most * len(row.words_found)}" if row.words_found else ""


def _seconds(row: Row) -> str:
    return f"{fmean(row.seconds):.0f}" if row.seconds else ""


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
