"""The gallery: one row of pictures for each image that is shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from semples.records import Sample
from semples.report import pictures
from semples.report.collect import Run
from semples.report.pictures import Frame, Picture, Pixels


@dataclass(frozen=True)
class Figure:
    """One picture with its caption; ``picture`` is None where the file is missing or damaged."""

    caption: str
    alt: str
    picture: Picture | None
    colour: str | None = None


@dataclass(frozen=True)
class Column:
    """What one stage says of one image: one figure, or one for each class present."""

    heading: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Tag:
    """A class that is present, with the words its prompt learned, nearest first."""

    name: str
    colour: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """All pictures of one image, and its tags."""

    id: str
    columns: tuple[Column, ...]
    tags: tuple[Tag, ...]
    width: int
    height: int


@dataclass(frozen=True)
class Source:
    """Where one column's files lie: ``folder``/ID``suffix``."""

    heading: str
    folder: str
    suffix: str = ".png"

    def path(self, run: Run, sample: Sample) -> Path:
        """Return the file of one image."""
        return run.directory / self.folder / f"{sample.id}{self.suffix}"


CAM_SOURCES = (
    Source("CAM, refined", "3-refine/cams", ".safetensors"),
    Source("CAM, matched", "1-match/cams", ".safetensors"),
)
FIRST_CAM = Source("CAM, classified", "0-classify/cams", ".safetensors")
PSEUDO_MASK = Source("Pseudo mask", "4-pseudo-masks")
TRUTH = Source("Ground truth", "6-evaluate/truth")
TRAIN_PREDICTION = Source("Prediction", "6-evaluate/predictions")
VAL_PREDICTION = Source("Prediction", "5-segment/predictions")
NEAREST_WORDS = 3


def train_rows(run: Run) -> list[Row]:
    """Make rows of the training images: photograph, first and last CAM, pseudo mask, prediction, truth."""
    samples = _shown(run, "train")
    last_cam = next((source for source in CAM_SOURCES if _any_file(run, samples, source)), None)
    cams = (FIRST_CAM,) if last_cam is None else (FIRST_CAM, last_cam)
    return _rows(run, samples, (*cams, PSEUDO_MASK, TRAIN_PREDICTION, TRUTH))


def val_rows(run: Run) -> list[Row]:
    """Make rows of the held-out images: photograph, prediction, truth."""
    return _rows(run, _shown(run, "val"), (VAL_PREDICTION, TRUTH))


def nearest_words(run: Run, index: int) -> tuple[str, ...]:
    """Return the words nearest to a class's prompt after the last epoch, or nothing."""
    epochs = run.words.words.get(run.classes[index], ()) if run.words else ()
    return tuple(word for word, _ in epochs[-1][:NEAREST_WORDS]) if epochs else ()


def _shown(run: Run, split: str) -> list[Sample]:
    if run.dataset is None:
        return []
    samples = {sample.id: sample for sample in (run.dataset.train if split == "train" else run.dataset.val)}
    return [samples[id_] for id_ in run.shown.get(split, ()) if id_ in samples]


def _any_file(run: Run, samples: list[Sample], source: Source) -> bool:
    return any(source.path(run, sample).is_file() for sample in samples)


def _rows(run: Run, samples: list[Sample], sources: tuple[Source, ...]) -> list[Row]:
    available = [source for source in sources if _any_file(run, samples, source)]
    return [_row(run, sample, available) for sample in samples] if available else []


def _row(run: Run, sample: Sample, sources: list[Source]) -> Row:
    height, width = sample.size
    frame = pictures.fit(height, width)
    photograph = pictures.read_photograph(_photograph_path(run, sample), frame)
    shown = None if photograph is None else pictures.to_picture(photograph, frame)
    first = Column("Photograph", (Figure("Photograph", f"Photograph {sample.id}", shown),))
    canvas = pictures.plain_canvas(frame) if photograph is None else photograph
    rest = tuple(Column(source.heading, _figures(run, sample, source, canvas, frame)) for source in sources)
    return Row(sample.id, (first, *rest), tuple(_tags(run, sample)), *frame.displayed)


def _photograph_path(run: Run, sample: Sample) -> Path:
    inside = run.directory / sample.path
    return inside if inside.is_file() else sample.path


def _tags(run: Run, sample: Sample) -> Iterator[Tag]:
    for tag in sample.tags:
        yield Tag(run.classes[tag], pictures.class_colour(tag), nearest_words(run, tag))


def _figures(run: Run, sample: Sample, source: Source, canvas: Pixels, frame: Frame) -> tuple[Figure, ...]:
    if source.suffix == ".safetensors":
        return _cam_figures(run, sample, source, canvas, frame)
    mask = pictures.read_mask(source.path(run, sample), frame)
    picture = None if mask is None else pictures.to_picture(pictures.mask_overlay(canvas, mask), frame)
    return (Figure(source.heading, f"{source.heading} of {sample.id}", picture),)


def _cam_figures(
    run: Run, sample: Sample, source: Source, canvas: Pixels, frame: Frame
) -> tuple[Figure, ...]:
    cams = pictures.read_cams(source.path(run, sample), frame)
    if not cams or max(cams) >= len(run.classes) or min(cams) < 0:
        return (Figure(source.heading, f"{source.heading} of {sample.id}", None),)
    return tuple(
        Figure(
            f"{source.heading}: {run.classes[index]}",
            f"{source.heading} of {sample.id} for class {run.classes[index]}",
            pictures.to_picture(pictures.heat_overlay(canvas, cam), frame),
            pictures.class_colour(index),
        )
        for index, cam in cams.items()
    )
