"""The gallery: for each image that is shown, its photograph and what every stage says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from semples.config import RefinementName
from semples.data.subsets import evenly
from semples.html_report import pictures, quality
from semples.html_report.collect import Run
from semples.html_report.pictures import Frame, Pixels
from semples.records import Sample

SIDES = (320, 256, 200, 160, 120)
"""Longest side of the stored photographs in pixels: the first with which all pictures fit into :data:`BUDGET`."""

TRIED = 12
"""Images by which that is judged."""

BUDGET = 12 * 2**20
"""Characters that all pictures together should have at most."""

NEAREST_WORDS = 3


@dataclass(frozen=True, eq=False)
class Layer:
    """One thing to lay over the photographs: per split the folder that holds it, as ``ID`` plus a suffix.

    ``kind`` is "mask", "cams" (maps to be cut at a threshold) or "heat" (maps that are only looked at).
    """

    key: str
    name: str
    kind: Literal["mask", "cams", "heat"]
    folders: Mapping[str, str]

    def path(self, run: Run, sample: Sample, split: str) -> Path | None:
        """Return the file of one image, None where this split has no such layer."""
        suffix = ".png" if self.kind == "mask" else ".safetensors"
        folder = self.folders.get(split)
        return None if folder is None else run.directory / folder / f"{sample.id}{suffix}"


LAYERS = (
    Layer("cam", "CAM", "cams", {"train": "0-classify/cams"}),
    Layer("matched", "Matched CAM", "cams", {"train": "1-match/cams"}),
    Layer("prompt", "Prompt", "heat", {"train": "2-prompt-maps"}),
    Layer("refined", "Refined CAM", "cams", {"train": "3-refine/cams"}),
    *(
        Layer(f"after-{step}", f"After {step}", "mask", {"train": f"4-pseudo-masks/after-{step}"})
        for step in get_args(RefinementName)
    ),
    Layer("pseudo", "Pseudo mask", "mask", {"train": "4-pseudo-masks"}),
    Layer("prediction", "Prediction", "mask", {"train": "6-evaluate/predictions", "val": "5-segment/predictions"}),
    Layer("truth", "Ground truth", "mask", {"train": "6-evaluate/truth", "val": "6-evaluate/truth"}),
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


def shots(run: Run) -> list[Shot]:
    """Read the images that are shown, training images first, as large as the budget allows."""
    layers = {split: available_layers(run, split) for split in ("train", "val")}
    shown = [(sample, split) for split in layers if layers[split] for sample in _shown(run, split)]

    def read(images: Sequence[tuple[Sample, str]], side: int) -> list[Shot]:
        return [_shot(run, sample, split, layers[split], side) for sample, split in images]

    tried = evenly(shown, TRIED)
    for side in SIDES:
        length = sum(shot.length for shot in read(tried, side))
        if length * len(shown) <= BUDGET * len(tried):
            break
    return read(shown, side)


def available_layers(run: Run, split: str) -> list[Layer]:
    """List the layers that some shown image of a split has."""
    paths = {layer.key: [layer.path(run, sample, split) for sample in _shown(run, split)] for layer in LAYERS}
    return [layer for layer in LAYERS if any(path is not None and path.is_file() for path in paths[layer.key])]


def nearest_words(run: Run, index: int) -> tuple[str, ...]:
    """Return the words nearest to a class's prompt after the last epoch, or nothing."""
    epochs = run.words.words.get(run.classes[index], ()) if run.words else ()
    return tuple(word for word, _ in epochs[-1][:NEAREST_WORDS]) if epochs else ()


def _shown(run: Run, split: str) -> list[Sample]:
    if run.dataset is None:
        return []
    samples = {sample.id: sample for sample in (run.dataset.train if split == "train" else run.dataset.val)}
    return [samples[id_] for id_ in run.shown.get(split, ()) if id_ in samples]


def _shot(run: Run, sample: Sample, split: str, layers: Sequence[Layer], side: int) -> Shot:
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


def _photograph_path(run: Run, sample: Sample) -> Path:
    inside = run.directory / sample.path
    return inside if inside.is_file() else sample.path


def _read_maps(run: Run, layer: Layer, path: Path, frame: Frame, reading: _Reading) -> None:
    cams = pictures.read_cams(path, len(run.classes))
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
