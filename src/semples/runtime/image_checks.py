"""Checking images at the start of a command: a progress bar, and a record of those that are skipped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from semples.data.images import image_size
from semples.data.validation import BadImages, SizeOf
from semples.records import Dataset
from semples.rundir.skipped import SkippedImages, write_skipped
from semples.training.progress import TrainingLog


@contextmanager
def checking_images(skip: bool, log: TrainingLog) -> Iterator[tuple[SizeOf, BadImages]]:
    """Yield the function that gives readers the size of an image, and the bad images that it finds.

    Args:
        skip: Decode every image, with a progress bar, and skip bad ones; otherwise only headers are read, and the
            first bad image is an error.
        log: Shows the progress.
    """
    bad = BadImages()
    if not skip:
        yield image_size, bad
        return
    with log.progress() as progress:
        task = progress.add_task("checking images", total=None, note="")
        bad.after_each = lambda: progress.advance(task)
        yield bad.size_of, bad


def record_skipped(path: Path, bad: BadImages, log: TrainingLog, dataset: Dataset | None = None) -> None:
    """Write skipped.json and report it in one line; without bad images do neither."""
    images = [(str(image), reason) for image, reason in bad.reasons.items()]
    lost_classes = [] if dataset is None else classes_without_images(dataset)
    write_skipped(path, SkippedImages(images, lost_classes))
    if images:
        lost = f"; classes left without a training image: {', '.join(lost_classes)}" if lost_classes else ""
        log.message(f"skipped {len(images)} of {bad.count} images that cannot be read, see {path}{lost}")


def classes_without_images(dataset: Dataset) -> list[str]:
    """Return the names of the classes that no training image is tagged with, and which no mask can contain."""
    tagged = {tag for sample in dataset.train for tag in sample.tags}
    return [name for index, name in enumerate(dataset.catalogue.names) if index not in tagged]
