"""Puts the report together and writes it."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from semples.data.overlays import PALETTE
from semples.files import write_text
from semples.html_report import charts, findings, gallery, tables
from semples.html_report.collect import CollectedRun, collect
from semples.html_report.gallery import Shot
from semples.html_report.pictures import class_color, mask_color
from semples.records import IGNORE_INDEX
from semples.rundir.layout import RunDirectory

ABSENT = "–"
"""What a table shows where there is no value."""


def write_report(run_directory: Path) -> Path:
    """Write ``report.html`` into a run directory, from whatever the run has left there so far.

    The page is one file without outside requests, and depends on the run's files alone: the same run gives the same
    bytes. Its one script is allowed by its digest, so that nothing else on the page can run. Stages that have not
    run and files that cannot be read are named on it.

    Args:
        run_directory: Folder that a run wrote (its layout is in ``docs/``).

    Returns:
        The path of the report.

    Raises:
        DataError: The folder does not exist or holds none of the files of a run.
    """
    report = RunDirectory(run_directory).report
    write_text(report, render(collect(run_directory)))
    return report


def render(run: CollectedRun) -> str:
    """Return the whole page for a collected run."""
    shots = gallery.shots(run)
    script = _script()
    return (
        _environment()
        .get_template("report.html.jinja")
        .render(
            run=run,
            shots=shots,
            legend=[(name, class_color(index)) for index, name in enumerate(run.classes)],
            ignore_color=mask_color(IGNORE_INDEX),
            layers=[layer for layer in gallery.LAYERS if any(layer in shot.layers for shot in shots)],
            viewer=viewer_data(run, shots),
            script=Markup(script),  # our own files, which hold no closing tag
            script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            warnings=findings.warnings(run, shots),
            missing=findings.missing_stages(run),
            scores=run.scores,
            choice=run.choice,
            tiles=tables.tiles(run.scores),
            class_rows=tables.class_rows(run.scores, run.classes),
            class_words=tables.class_words(run),
            trainings=charts.trainings(run.epochs),
            cost=tables.cost([entry for _, entry in run.stages]),
            environment=tables.environment(run.settings),
            changed_settings=tables.changed_settings(run.settings),
            size=charts,
        )
    )


def viewer_data(run: CollectedRun, shots: Sequence[Shot]) -> dict[str, Any]:
    """Return what the script needs beside the pictures; the template writes it as JSON."""
    return {
        "threshold": run.threshold,
        "ignore": PALETTE[IGNORE_INDEX].tolist(),
        "classes": [
            {"name": name, "color": PALETTE[index + 1].tolist(), "words": gallery.nearest_words(run, index)}
            for index, name in enumerate(run.classes)
        ],
        "shots": [
            {
                "id": shot.sample.id,
                "split": shot.split,
                "tags": shot.sample.tags,
                "size": shot.frame.size,
                "pixelated": shot.frame.pixelated,
                "layers": [layer.key for layer in shot.layers],
                "score": shot.score,
                "change": shot.change,
            }
            for shot in shots
        ],
    }


def percent(value: float | None) -> str:
    """Show a rate in 0..1 as per cent with one decimal.

    >>> percent(0.5664), percent(None)
    ('56.6', '–')
    """
    return ABSENT if value is None else f"{100 * value:.1f}"


def decimals(value: float | None) -> str:
    """Show a threshold or score with two decimals."""
    return ABSENT if value is None else f"{value:.2f}"


def duration(seconds: float | None) -> str:
    """Show a duration in the two largest units.

    >>> duration(3.21), duration(75), duration(3700)
    ('3.2 s', '1 min 15 s', '1 h 01 min')
    """
    if seconds is None or not math.isfinite(seconds):
        return ABSENT
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def memory(megabytes: float | None) -> str:
    """Show an amount of memory.

    >>> memory(812.4), memory(2048)
    ('812 MB', '2.0 GB')
    """
    if megabytes is None or not math.isfinite(megabytes):
        return ABSENT
    return f"{megabytes:.0f} MB" if megabytes < 1000 else f"{megabytes / 1024:.1f} GB"


def _script() -> str:
    folder = resources.files("semples.html_report")
    return "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in ("pictures.js", "gallery.js"))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("semples", "html_report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "decimals": decimals,
        "duration": duration,
        "memory": memory,
        "thousands": lambda number: f"{number:,}",
    }
    return environment
