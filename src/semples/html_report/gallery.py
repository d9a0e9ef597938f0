"""Builds the gallery: each shown image's photograph with the maps and masks of every stage."""

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
"""Candidates for the longest side of stored photographs, in pixels; the first that fits :data:`BUDGET` is taken."""

PROBE_IMAGES = 12
"""Number of images from which the size of all pictures is estimated."""

BUDGET = 12 * 2**20
"""Characters that all encoded pictures together should not exceed."""

NEAREST_WORDS = 3
"""Words shown beside a class in the viewer."""


@dataclass(frozen=True, eq=False)
class Layer:
    """One kind of map or mask that can be laid over the photographs.

    Attributes:
        key: Name for the page's script.
        name: Label for people.
        kind: "mask", "cams" (maps that the slider thresholds) or "heat" (maps shown as they are).
        folders: Split -> function that returns the folder of the layer's files in a run directory.
    """

    key: str
    name: str
    kind: Literal["mask", "cams", "heat"]
    folders: Mapping[str, Callable[[RunDirectory], Path]]

    def path(self, run: CollectedRun, sample: Sample, split: str) -> Path | None:
        """Return the file of one image, or None if the split has no such layer."""
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
"""All layers, in the order of the stages."""


@dataclass(frozen=True)
class Figure:
    """One picture of a layer as a data URI, None if its file is missing or damaged; ``tag`` is the class of a CAM."""

    layer: Layer
    source: str | None
    tag: int | None = None


@dataclass(frozen=True)
class GalleryImage:
    """One image of the gallery.

    Attributes:
        sample: The image.
        split: "train" or "val".
        frame: Size at which its pictures are stored.
        photograph: Data URI, or None if the file is missing or damaged.
        figures: Its maps and masks.
        score: Mean IoU after the last stage, None without ground truth.
        change: Share of pixels that differ between the first and the last stage's CAM labels, None without two.
    """

    sample: Sample
    split: str
    frame: Frame
    photograph: str | None
    figures: tuple[Figure, ...]
    score: float | None
    change: float | None

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Layers of its figures, missing pictures included."""
        return tuple(dict.fromkeys(figure.layer for figure in self.figures))

    @property
    def length(self) -> int:
        """Characters of all its encoded pictures."""
        return len(self.photograph or "") + sum(len(figure.source or "") for figure in self.figures)


@dataclass
class _LoadedImage:
    """Collects one image's figures, and the labels from which its score and change are computed."""

    figures: list[Figure] = field(default_factory=list)
    cam_labels: list[Pixels] = field(default_factory=list)
    final: Pixels | None = None
    truth: Pixels | None = None

    @property
    def score(self) -> float | None:
        return None if self.final is None or self.truth is None else quality.mean_iou(self.final, self.truth)

    @property
    def change(self) -> float | None:
        return quality.changed_share(self.cam_labels[0], self.cam_labels[-1]) if len(self.cam_labels) > 1 else None


def gallery_images(run: CollectedRun) -> list[GalleryImage]:
    """Read the shown images, training images first, as large as the budget allows."""
    layers = {split: available_layers(run, split) for split in ("train", "val")}
    shown = [(sample, split) for split in layers if layers[split] for sample in _shown_samples(run, split)]

    def read(samples: Sequence[tuple[Sample, str]], side: int) -> list[GalleryImage]:
        return [_gallery_image(run, sample, split, layers[split], side) for sample, split in samples]

    probes = evenly_spaced(shown, PROBE_IMAGES)
    for side in SIDES:
        length = sum(image.length for image in read(probes, side))
        if length * len(shown) <= BUDGET * len(probes):
            break
    return read(shown, side)


def available_layers(run: CollectedRun, split: str) -> list[Layer]:
    """List the layers that at least one shown image of a split has."""
    paths = {layer.key: [layer.path(run, sample, split) for sample in _shown_samples(run, split)] for layer in LAYERS}
    return [layer for layer in LAYERS if any(path is not None and path.is_file() for path in paths[layer.key])]


def nearest_words(run: CollectedRun, index: int) -> tuple[str, ...]:
    """Return the words nearest to a class's prompt after the last epoch; empty without learned words."""
    nearest = run.words.last(run.classes[index]) if run.words else ()
    return tuple(word for word, _ in nearest[:NEAREST_WORDS])


def _shown_samples(run: CollectedRun, split: str) -> list[Sample]:
    if run.dataset is None:
        return []
    samples = {sample.id: sample for sample in (run.dataset.train if split == "train" else run.dataset.val)}
    return [samples[id_] for id_ in run.shown_ids.get(split, ()) if id_ in samples]


def _gallery_image(run: CollectedRun, sample: Sample, split: str, layers: Sequence[Layer], side: int) -> GalleryImage:
    frame = pictures.fit_frame(*sample.size, side)
    photograph = pictures.read_photograph(_photograph_path(run, sample), frame)
    loaded = _LoadedImage()
    for layer in layers:
        path = layer.path(run, sample, split)
        if path is not None and layer.kind == "mask":
            _read_mask(layer, path, frame, loaded)
        elif path is not None:
            _read_maps(run, layer, path, frame, loaded)
    return GalleryImage(
        sample,
        split,
        frame,
        None if photograph is None else pictures.photograph_uri(photograph, frame),
        tuple(loaded.figures),
        loaded.score,
        loaded.change,
    )


def _photograph_path(run: CollectedRun, sample: Sample) -> Path:
    inside = run.directory / sample.path
    return inside if inside.is_file() else sample.path


def _read_maps(run: CollectedRun, layer: Layer, path: Path, frame: Frame, loaded: _LoadedImage) -> None:
    cams = pictures.read_class_maps(path, len(run.classes))
    if cams is None:
        loaded.figures.append(Figure(layer, None))
        return
    loaded.figures += [
        Figure(layer, pictures.map_uri(pictures.resize_map(cam, frame.maps)), tag) for tag, cam in cams.items()
    ]
    if layer.kind == "heat":
        return
    width, height = frame.size
    at_size = {tag: pictures.resize_map(cam, frame.size) for tag, cam in cams.items()}
    loaded.final = quality.cut_maps(at_size, run.threshold, (height, width))
    loaded.cam_labels.append(loaded.final)


def _read_mask(layer: Layer, path: Path, frame: Frame, loaded: _LoadedImage) -> None:
    mask = pictures.read_thumbnail_mask(path, frame)
    loaded.figures.append(Figure(layer, None if mask is None else pictures.mask_uri(mask)))
    if mask is None:
        return
    if layer.key == "truth":
        loaded.truth = mask
    else:
        loaded.final = mask
