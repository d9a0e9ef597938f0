"""What a reader should know before trusting the numbers: warnings, and stages that are missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from semples.html_report.collect import CollectedRun
from semples.html_report.gallery import Shot

NAMED_PICTURES = 5
"""Lost pictures that a warning names; of more it tells the number."""


def warnings(run: CollectedRun, shots: Sequence[Shot]) -> list[str]:
    """List sentences on damaged files, unfinished stages, and what the stages themselves were warned of."""
    return [*run.problems, *_skipped(run), *_lost_pictures(shots), *_unfinished(run), *_noted(run)]


def missing_stages(run: CollectedRun) -> list[str]:
    """List the stages that this run has not started."""
    return [name for name, entry in run.stages if entry is None]


def _skipped(run: CollectedRun) -> Iterator[str]:
    if count := len(run.skipped.images):
        images = "1 image that cannot be read was" if count == 1 else f"{count} images that cannot be read were"
        yield f"{images} left out: see Skipped images."
    if run.skipped.classes:
        yield f"No training image is left of {', '.join(run.skipped.classes)}: nothing was learned of them."


def _lost_pictures(shots: Sequence[Shot]) -> Iterator[str]:
    lost = [f"photograph {shot.sample.path}" for shot in shots if shot.photograph is None]
    for shot in shots:
        layers = dict.fromkeys(figure.layer.name for figure in shot.figures if figure.source is None)
        lost += [f"{name} of {shot.sample.id}" for name in layers]
    if lost:
        rest = len(lost) - NAMED_PICTURES
        more = f" and {rest} more" if rest > 0 else ""
        yield f"Missing or damaged, and left out of the gallery: {', '.join(lost[:NAMED_PICTURES])}{more}."


def _unfinished(run: CollectedRun) -> Iterator[str]:
    for name, entry in run.stages:
        if entry is not None and entry.status == "running":
            yield f"{name} did not finish: the same command again goes on from its last checkpoint."


def _noted(run: CollectedRun) -> Iterator[str]:
    """What the stages were warned of when they were done (``stages/warnings.py``)."""
    for name, entry in run.stages:
        warnings = (entry and entry.warnings) or ()
        yield from (f"{name}: {warning}." for warning in warnings)
