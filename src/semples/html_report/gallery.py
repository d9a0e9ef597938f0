"""The gallery: for each image that is shown, its photograph and what every stage says of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from semples.config.registry import REFINEMENTS
from semples.data.subsets import evenly_spaced
from semples.html_report import pictures, quality
from semples.html_report.collect import CollectedRun
from semples.html_report.pictures import Frame, Pixels
from semples.records import Sample
from semples.rundir.labels import CAM_LABELS, refined_label
from semples.rundir.layout import RunDirectory, map_file, mask_file
from semples.rundir.shown_images import SPLITS

SIDES = (320, 256, 200, 160, 120)
"""Longest side of the stored photographs in pixels: the first with which all pictures fit into :data:`BUDGET`."""

TRIED = 12
"""Images by which that is judged."""

BUDGET = 12 * 2**20
"""Characters that all pictures together should have at most."""

NEAREST_WORDS = 3


@dataclass(frozen=True, eq=False)
class Layer:
    """One thing to lay over the photographs.

    Attributes:
        key: Name for the page's script.
        name: Label for people.
        kind: "mask", "cams" (maps to be cut at a threshold) or "heat" (maps that are only looked at).
        folders: Split -> function that returns the folder of its files in a run directory.
    """

    key: str
    name: str
    kind: Literal["mask", "cams", "heat"]
    folders: Mapping[str, Callable[[RunDirectory], Path]]

    def path(self, run: CollectedRun, sample: Sample, split: str) -> Path | None:
        """Return the file of one image, None where this split has no such layer."""
        folder = self.folders.get(split)
        if folder is None:
            return None
        file_of = mask_file if self.kind == "mask" else map_file
        return file_of(folder(RunDirectory(run.directory)), sample.id)


def _cam_layer(key: str, stage: str) -> Layer:
    return Layer(key, CAM_LABELS[stage], "cams", {"train": lambda files: files.cams(stage)})


def _refinement_layer(step: str) -> Layer:
    return Layer(f"after-{step}", refined_label(step), "mask", {"train": lambda files: files.refined_masks(step)})


LAYERS = (
    _cam_layer("cam", "classify"),
    _cam_layer("matched", "match"),
    Layer("prompt", "Prompt", "heat", {"train": lambda files: files.prompt_maps}),
    _cam_layer("refined", "refine"),
    *(_refinement_layer(step) for step in REFINEMENTS),
    Layer("pseudo", "Pseudo mask", "mask", {"train": lambda files: files.pseudo_masks}),
    Layer(
        "prediction",
        "Prediction",
        "mask",
        {
            "train": lambda files: files.train_predictions("segment"),
            "val": lambda files: files.held_out_predictions("segment"),
        },
    ),
    Layer("truth", "Ground truth", "mask", dict.fromkeys(SPLITS, lambda files: files.truth_thumbnails)),
)
"""Everything that can be laid over a photograph, in the order of the stages."""


@dataclass(frozen=True)
class Figure:
    """One picture of one layer, None where its file is missing or damaged; of CAMs there is one for each class."""

    layer: Layer
    source: str | None
    tag: int | None = None


@dataclass(frozen=True)
class Shot:
    """One image: its pictures, its mean IoU after the last stage, and the share of pixels that guidance changed."""

    sample: Sample
    split: str
    frame: Frame
    photograph: str | None
    figures: tuple[Figure, ...]
    score: float | None
    change: float | None

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that it has pictures of, or should have."""
        return tuple(dict.fromkeys(figure.layer for figure in self.figures))

    @property
    def length(self) -> int:
        """Characters of all its pictures."""
        return len(self.photograph or "") + sum(len(figure.source or "") for figure in self.figures)


@dataclass
class _Reading:
    """What has been read of one image so far: its pictures, and the labels of each layer."""

    figures: list[Figure] = field(default_factory=list)
    cut_maps: list[Pixels] = field(default_factory=list)
    final: Pixels | None = None
    truth: Pixels | None = None

    @property
    def score(self) -> float | None:
        return None if self.final is None or self.truth is None else quality.mean_iou(self.final, self.truth)

    @property
    def change(self) -> float | None:
        return quality.changed(self.cut_maps[0], self.cut_maps[-1]) if len(self.cut_maps) > 1 else None


def shots(run: CollectedRun) -> list[Shot]:
    """Read the images that are shown, training images first, as large as the budget allows."""
    layers = {split: available_layers(run, split) for split in ("train", "val")}
    shown = [(sample, split) for split in layers if layers[split] for sample in _shown(run, split)]

    def read(images: Sequence[tuple[Sample, str]], side: int) -> list[Shot]:
        return [_shot(run, sample, split, layers[split], side) for sample, split in images]

    tried = evenly_spaced(shown, TRIED)
    for side in SIDES:
        length = sum(shot.length for shot in read(tried, side))
        if length * len(shown) <= BUDGET * len(tried):
            break
    return read(shown, side)


def available_layers(run: CollectedRun, split: str) -> list[Layer]:
    """List the layers that some shown image of a split has."""
    paths = {layer.key: [layer.path(run, sample, split) for sample in _shown(run, split)] for layer in LAYERS}
    return [layer for layer in LAYERS if any(path is not None and path.is_file() for path in paths[layer.key])]


def nearest_words(run: CollectedRun, index: int) -> tuple[str, ...]:
    """Return the words nearest to a class's prompt after the last epoch, or nothing."""
    nearest = run.words.last(run.classes[index]) if run.words else ()
    return tuple(word for word, _ in nearest[:NEAREST_WORDS])


def _shown(run: CollectedRun, split: str) -> list[Sample]:
    if run.dataset is None:
        return []
    samples = {sample.id: sample for sample in (run.dataset.train if split == "train" else run.dataset.val)}
    return [samples[id_] for id_ in run.shown.get(split, ()) if id_ in samples]


def _shot(run: CollectedRun, sample: Sample, split: str, layers: Sequence[Layer], side: int) -> Shot:
    frame = pictures.fit(*sample.size, side)
    photograph = pictures.read_photograph(_photograph_path(run, sample), frame)
    reading = _Reading()
    for layer in layers:
        path = layer.path(run, sample, split)
        if path is not None and layer.kind == "mask":
            _read_mask(layer, path, frame, reading)
        elif path is not None:
            _read_maps(run, layer, path, frame, reading)
    return Shot(
        sample,
        split,
        frame,
        None if photograph is None else pictures.photograph_uri(photograph, frame),
        tuple(reading.figures),
        reading.score,
        reading.change,
    )


def _photograph_path(run: CollectedRun, sample: Sample) -> Path:
    inside = run.directory / sample.path
    return inside if inside.is_file() else sample.path


def _read_maps(run: CollectedRun, layer: Layer, path: Path, frame: Frame, reading: _Reading) -> None:
    cams = pictures.read_class_maps(path, len(run.classes))
    if cams is None:
        reading.figures.append(Figure(layer, None))
        return
    reading.figures += [
        Figure(layer, pictures.map_uri(pictures.resized(cam, frame.maps)), tag) for tag, cam in cams.items()
    ]
    if layer.kind == "heat":
        return
    width, height = frame.size
    at_size = {tag: pictures.resized(cam, frame.size) for tag, cam in cams.items()}
    reading.final = quality.cut(at_size, run.threshold, (height, width))
    reading.cut_maps.append(reading.final)


def _read_mask(layer: Layer, path: Path, frame: Frame, reading: _Reading) -> None:
    mask = pictures.read_mask(path, frame)
    reading.figures.append(Figure(layer, None if mask is None else pictures.mask_uri(mask)))
    if mask is None:
        return
    if layer.key == "truth":
        reading.truth = mask
    else:
        reading.final = mask
