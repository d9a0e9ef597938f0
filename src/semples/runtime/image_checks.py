"""Bad images that a run leaves out (``data.skip_bad_images``), and the record of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from semples.data.images import image_size
from semples.data.validation import BadImages, SizeOf
from semples.files import write_json, writing
from semples.records import Dataset
from semples.training.progress import TrainingLog

SKIPPED_FILE = "skipped.json"


@contextmanager
def skipping(wanted: bool, log: TrainingLog) -> Iterator[tuple[SizeOf, BadImages]]:
    """Yield what a reader should take sizes from, and the bad images that it will have met.

    Args:
        wanted: Whether to read all images and leave out bad ones, with a progress bar; else the first bad header
            is an error, as readers have it.
        log: Shows the progress.
    """
    bad = BadImages()
    if not wanted:
        yield image_size, bad
        return
    with log.progress() as progress:
        task = progress.add_task("checking images", total=None, note="")
        bad.after_each = lambda: progress.advance(task)
        yield bad.size_of, bad


def record_skipped(path: Path, bad: BadImages, log: TrainingLog, dataset: Dataset | None = None) -> None:
    """Write skipped.json and tell of it in one line; without bad images there is neither.

    The file holds ``{"images": [{"path": ..., "reason": ...}], "classes_without_images": [...]}``.
    """
    if not bad.reasons:
        with writing(path):
            path.unlink(missing_ok=True)
        return
    lost = [] if dataset is None else classes_without_images(dataset)
    images = [{"path": str(image), "reason": reason} for image, reason in bad.reasons.items()]
    write_json(path, {"images": images, "classes_without_images": lost})
    rest = f"; no training image is left of: {', '.join(lost)}" if lost else ""
    log.message(f"skipped {len(images)} of {bad.count} images that cannot be read, see {path}{rest}")


def classes_without_images(dataset: Dataset) -> list[str]:
    """Names of the classes that no training image is tagged with: their masks stay empty."""
    tagged = {tag for sample in dataset.train for tag in sample.tags}
    return [name for index, name in enumerate(dataset.catalogue.names) if index not in tagged]
