"""Lists warnings and missing stages: what a reader should know before trusting the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from semples.html_report.collect import CollectedRun
from semples.html_report.gallery import GalleryImage

MAX_NAMED_PICTURES = 5
"""Number of lost pictures that a warning names; the others are only counted."""


def warnings(run: CollectedRun, images: Sequence[GalleryImage]) -> list[str]:
    """List one sentence per damaged file, unfinished stage, and warning recorded by a stage."""
    return [*run.problems, *_skipped(run), *_lost_pictures(images), *_unfinished(run), *_stage_warnings(run)]


def missing_stages(run: CollectedRun) -> list[str]:
    """List the stages that this run has not started."""
    return [name for name, entry in run.stages if entry is None]


def _skipped(run: CollectedRun) -> Iterator[str]:
    if count := len(run.skipped.images):
        images = "1 image that cannot be read was" if count == 1 else f"{count} images that cannot be read were"
        yield f"{images} left out: see Skipped images."
    if run.skipped.classes:
        yield f"No training image is left of {', '.join(run.skipped.classes)}: nothing was learned about them."


def _lost_pictures(images: Sequence[GalleryImage]) -> Iterator[str]:
    lost = [f"photograph {image.sample.path}" for image in images if image.photograph is None]
    for image in images:
        layers = dict.fromkeys(figure.layer.name for figure in image.figures if figure.source is None)
        lost += [f"{name} of {image.sample.id}" for name in layers]
    if lost:
        rest = len(lost) - MAX_NAMED_PICTURES
        more = f" and {rest} more" if rest > 0 else ""
        yield f"Missing or damaged, and left out of the gallery: {', '.join(lost[:MAX_NAMED_PICTURES])}{more}."


def _unfinished(run: CollectedRun) -> Iterator[str]:
    for name, entry in run.stages:
        if entry is not None and entry.status == "running":
            yield f"{name} did not finish: run the same command again to resume from its last checkpoint."


def _stage_warnings(run: CollectedRun) -> Iterator[str]:
    """Yield the warnings that the stages recorded when they finished (``stages/stage_warnings.py``)."""
    for name, entry in run.stages:
        warnings = (entry and entry.warnings) or ()
        yield from (f"{name}: {warning}." for warning in warnings)
