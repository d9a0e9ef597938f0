"""The gallery: one row of pictures for each image that is shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from semples.data.overlays import heat_overlay, mask_overlay
from semples.records import Sample
from semples.report import pictures
from semples.report.collect import Run
from semples.report.pictures import Frame, Picture, Pixels


@dataclass(frozen=True)
class Figure:
    """One picture, None where its file is missing or damaged; ``name`` is a class or empty."""

    alt: str
    picture: Picture | None
    name: str = ""
    colour: str | None = None


@dataclass(frozen=True)
class Column:
    """What one stage says of one image: one figure, or one for each class present.

    ``folded`` are those beyond the first :data:`OPEN_FIGURES`, for images with many classes.
    """

    heading: str
    figures: tuple[Figure, ...]
    folded: tuple[Figure, ...] = ()


@dataclass(frozen=True)
class Tag:
    """A class that is present, with the words its prompt learned, nearest first."""

    name: str
    colour: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """All pictures of one image, their size in CSS pixels, and its tags."""

    id: str
    columns: tuple[Column, ...]
    tags: tuple[Tag, ...]
    width: int
    height: int
    pixelated: bool


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
    Source("Refined CAM", "3-refine/cams", ".safetensors"),
    Source("Matched CAM", "1-match/cams", ".safetensors"),
)
FIRST_CAM = Source("CAM", "0-classify/cams", ".safetensors")
PSEUDO_MASK = Source("Pseudo mask", "4-pseudo-masks")
TRUTH = Source("Ground truth", "6-evaluate/truth")
TRAIN_PREDICTION = Source("Prediction", "6-evaluate/predictions")
VAL_PREDICTION = Source("Prediction", "5-segment/predictions")
NEAREST_WORDS = 3
OPEN_FIGURES = 3


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
    frame = pictures.fit(*sample.size)
    photograph = pictures.read_photograph(_photograph_path(run, sample), frame)
    shown = None if photograph is None else pictures.to_picture(photograph, frame)
    first = Column("Photograph", (Figure(f"Photograph {sample.id}", shown),))
    canvas = pictures.plain_canvas(frame) if photograph is None else photograph
    rest = (_column(run, sample, source, canvas, frame) for source in sources)
    return Row(sample.id, (first, *rest), tuple(_tags(run, sample)), *frame.displayed, frame.pixelated)


def _photograph_path(run: Run, sample: Sample) -> Path:
    inside = run.directory / sample.path
    return inside if inside.is_file() else sample.path


def _tags(run: Run, sample: Sample) -> Iterator[Tag]:
    for tag in sample.tags:
        yield Tag(run.classes[tag], pictures.class_colour(tag), nearest_words(run, tag))


def _column(run: Run, sample: Sample, source: Source, canvas: Pixels, frame: Frame) -> Column:
    path, alt = source.path(run, sample), f"{source.heading} of {sample.id}"
    if source.suffix == ".safetensors":
        figures = _cam_figures(path, run.classes, alt, canvas, frame)
    else:
        figures = (_mask_figure(path, alt, canvas, frame),)
    return Column(source.heading, figures[:OPEN_FIGURES], figures[OPEN_FIGURES:])


def _mask_figure(path: Path, alt: str, canvas: Pixels, frame: Frame) -> Figure:
    mask = pictures.read_mask(path, frame)
    return Figure(alt, None if mask is None else pictures.to_picture(mask_overlay(canvas, mask), frame))


def _cam_figures(path: Path, classes: tuple[str, ...], alt: str, canvas: Pixels, frame: Frame) -> tuple[Figure, ...]:
    cams = pictures.read_cams(path, frame)
    if not cams or min(cams) < 0 or max(cams) >= len(classes):
        return (Figure(alt, None),)
    return tuple(
        Figure(
            f"{alt} for class {classes[index]}",
            pictures.to_picture(heat_overlay(canvas, cam), frame),
            name=classes[index],
            colour=pictures.class_colour(index),
        )
        for index, cam in cams.items()
    )
