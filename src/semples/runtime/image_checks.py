"""Images that a command skips because they cannot be read, with a progress bar and a record of them."""

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
    """Yield the function that readers take image sizes from, and the bad images that it has met.

    Args:
        skip: Decode every image and skip bad ones, with a progress bar; otherwise headers alone are read, and the
            first bad one is an error.
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
    """Write skipped.json and say so in one line; without bad images there is neither."""
    images = [(str(image), reason) for image, reason in bad.reasons.items()]
    lost = [] if dataset is None else classes_without_images(dataset)
    write_skipped(path, SkippedImages(images, lost))
    if images:
        rest = f"; no training image is left of: {', '.join(lost)}" if lost else ""
        log.message(f"skipped {len(images)} of {bad.count} images that cannot be read, see {path}{rest}")


def classes_without_images(dataset: Dataset) -> list[str]:
    """Return the names of the classes that no training image is tagged with: their masks stay empty."""
    tagged = {tag for sample in dataset.train for tag in sample.tags}
    return [name for index, name in enumerate(dataset.catalogue.names) if index not in tagged]
