"""Assembles the report and writes it."""

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

from semples.data.catalogues import PALETTE
from semples.files import write_text
from semples.html_report import charts, findings, gallery, summaries
from semples.html_report.collect import CollectedRun, collect
from semples.html_report.gallery import GalleryImage
from semples.html_report.pictures import class_color, mask_color
from semples.records import IGNORE_INDEX
from semples.rundir.layout import RunDirectory

ABSENT = "–"
"""Placeholder in tables for a missing value."""


def write_report(run_directory: Path) -> Path:
    """Write ``report.html`` into a run directory, from whatever the run has written so far.

    The page is one file that makes no network requests and depends only on the run's files: the same run gives the
    same bytes. Its only script is allowed by its digest, so nothing else on the page can run. The page names the
    stages that have not run and the files that cannot be read.

    Args:
        run_directory: Folder written by a run (layout: ``docs/artefacts.md``).

    Returns:
        The path of the report.

    Raises:
        DataError: The folder does not exist or contains none of a run's files.
    """
    report = RunDirectory(run_directory).report
    write_text(report, render(collect(run_directory)))
    return report


def render(run: CollectedRun) -> str:
    """Render the page of a collected run."""
    images = gallery.gallery_images(run)
    script = _script()
    return (
        _environment()
        .get_template("report.html.jinja")
        .render(
            run=run,
            images=images,
            legend=[(name, class_color(index)) for index, name in enumerate(run.classes)],
            ignore_color=mask_color(IGNORE_INDEX),
            layers=[layer for layer in gallery.LAYERS if any(layer in image.layers for image in images)],
            viewer=viewer_data(run, images),
            script=Markup(script),  # files of this package without a closing tag
            script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            warnings=findings.warnings(run, images),
            missing=findings.missing_stages(run),
            scores=run.scores,
            choice=run.choice,
            headlines=summaries.headlines(run.scores),
            class_rows=summaries.class_rows(run.scores, run.classes),
            class_words=summaries.class_words(run),
            trainings=charts.trainings(run.epochs),
            cost=summaries.cost([entry for _, entry in run.stages]),
            environment=summaries.environment(run.settings),
            changed_settings=summaries.changed_settings(run.settings),
            size=charts,
        )
    )


def viewer_data(run: CollectedRun, images: Sequence[GalleryImage]) -> dict[str, Any]:
    """Return the script's data, apart from the pictures; the template embeds it as JSON."""
    return {
        "threshold": run.threshold,
        "ignore": PALETTE[IGNORE_INDEX].tolist(),
        "classes": [
            {"name": name, "color": PALETTE[index + 1].tolist(), "words": gallery.nearest_words(run, index)}
            for index, name in enumerate(run.classes)
        ],
        "images": [
            {
                "id": image.sample.id,
                "split": image.split,
                "tags": image.sample.tags,
                "size": image.frame.size,
                "pixelated": image.frame.pixelated,
                "layers": [layer.key for layer in image.layers],
                "score": image.score,
                "change": image.change,
            }
            for image in images
        ],
    }


def percent(value: float | None) -> str:
    """Format a rate in 0..1 as a percentage with one decimal.

    >>> percent(0.5664), percent(None)
    ('56.6', '–')
    """
    return ABSENT if value is None else f"{100 * value:.1f}"


def decimals(value: float | None) -> str:
    """Format a threshold or score with two decimals."""
    return ABSENT if value is None else f"{value:.2f}"


def duration(seconds: float | None) -> str:
    """Format a duration in its two largest units.

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
    """Format an amount of memory.

    >>> memory(812.4), memory(2048)
    ('812 MB', '2.0 GB')
    """
    if megabytes is None or not math.isfinite(megabytes):
        return ABSENT
    return f"{megabytes:.0f} MB" if megabytes < 1000 else f"{megabytes / 1024:.1f} GB"


def _script() -> str:
    """Return the page's only script: both files, in the order in which they depend on each other."""
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
