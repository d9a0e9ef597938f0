"""Measures of a photo model: retrieval, zero-shot average precision, places against masks, masked photographs."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from photo_data import Photo, read_pixels
from photo_words import VOC_CLASSES, phrases_of
from semples.models.vision_language.model import VisionLanguageModel

ANIMALS = ("cat", "cow", "dog", "horse", "person", "sheep")
"""Classes with enough photographs in voc2012-animals."""
CONTEXTS = {
    "cat": ("room", "bed", "floor", "sofa"),
    "cow": ("field", "grass", "fence", "road"),
    "dog": ("grass", "floor", "bed", "room"),
    "horse": ("field", "grass", "fence", "forest"),
    "person": ("street", "road", "field", "room"),
    "sheep": ("field", "grass", "mountain", "fence"),
}
"""Class -> words for what usually surrounds it, for the test with masked photographs."""
DENSE_SIDE, DENSE_PHOTOS, MASKED_PHOTOS = 448, 160, 240


@dataclass(frozen=True)
class Animals:
    """The photographs of voc2012-animals: ids, and tags bool [N, 20] in the order of VOC's classes."""

    folder: Path
    ids: tuple[str, ...]
    tags: NDArray[np.bool_]

    def pixels(self, row: int) -> Tensor:
        """Read a photograph as [1, 3, H, W] in [0, 1]."""
        pixels = read_pixels(self.folder / "JPEGImages" / f"{self.ids[row]}.jpg")
        return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255

    def mask(self, row: int) -> Tensor:
        """Read a true mask as uint8 [H, W]; for measures only."""
        with Image.open(self.folder / "SegmentationClassAug" / f"{self.ids[row]}.png") as image:
            return torch.from_numpy(np.array(image))


def read_animals(folder: Path, subset: str) -> Animals:
    """Read the tags of voc2012-animals: "tuning" for 300 of the training ids, "rest" for all others, or "all"."""
    listed = folder / "ImageSets" / "Segmentation" / "train.txt"
    tuning = set(listed.read_text(encoding="utf-8").split()[::3][:300])
    ids, tags = [], []
    with (folder / "tags.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            identity = Path(row["image"]).stem
            if subset == "all" or (identity in tuning) == (subset == "tuning"):
                ids.append(identity)
                tags.append([name in row["tags"].split("|") for name in VOC_CLASSES])
    return Animals(folder, tuple(ids), np.array(tags))


def class_features(model: VisionLanguageModel, names: Sequence[str], phrases: bool) -> Tensor:
    """Encode classes [K, D], each by its own name or by the mean over its phrases."""
    rows = [model.encode_classes(list(phrases_of(name)) if phrases else [name]).mean(0) for name in names]
    return F.normalize(torch.stack(rows), dim=-1)


def average_precision(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """Mean of the precision at each positive, in falling order of the scores."""
    ranked = truth[np.argsort(-scores, kind="stable")]
    precision = np.cumsum(ranked) / np.arange(1, len(ranked) + 1)
    return float(precision[ranked].mean())


def area_under_curve(inside: NDArray[np.float64], outside: NDArray[np.float64]) -> float:
    """Share of pairs in which the inside has the larger score; ties count half."""
    larger = (inside[:, None] > outside[None]).mean()
    return float(larger + (inside[:, None] == outside[None]).mean() / 2)


@torch.inference_mode()
def measure_retrieval(model: VisionLanguageModel, photos: Sequence[Photo]) -> dict[str, float]:
    """Measure recall at 1, 5, 10 of photographs by their first caption, by all, and of captions by photographs."""
    images = torch.cat([model.encode_images(_as_batch(photo)) for photo in photos])
    texts = model.encode_texts([caption for photo in photos for caption in photo.captions])
    owner = torch.tensor([row for row, photo in enumerate(photos) for _ in photo.captions])
    similarity = texts @ images.T  # [captions, photographs]
    own = similarity.gather(1, owner[:, None])
    rank = (similarity > own).sum(1)
    is_first = torch.cat([torch.ones(1, dtype=torch.bool), owner[1:] != owner[:-1]])
    best_own = similarity.masked_fill(owner[:, None] != torch.arange(len(photos)), -torch.inf).amax(0)
    rank_back = (similarity > best_own).sum(0)
    ranks = {"first_caption": rank[is_first], "all_captions": rank, "caption_of_photo": rank_back}
    return {f"{name}@{k}": _rounded((r < k).float().mean()) for name, r in ranks.items() for k in (1, 5, 10)}


@torch.inference_mode()
def measure_zero_shot(model: VisionLanguageModel, animals: Animals) -> dict[str, dict[str, float]]:
    """Measure the average precision of six classes, by their names and by several phrases each."""
    images = torch.cat([model.encode_images(animals.pixels(row)) for row in range(len(animals.ids))])
    result = {}
    for kind in ("name", "phrases"):
        scores = (images @ class_features(model, ANIMALS, phrases=kind == "phrases").T).double().numpy()
        columns = [VOC_CLASSES.index(name) for name in ANIMALS]
        values = {
            name: average_precision(scores[:, i], animals.tags[:, column])
            for i, (name, column) in enumerate(zip(ANIMALS, columns, strict=True))
        }
        result[kind] = _with_mean(values)
    return result


@torch.inference_mode()
def measure_window(model: VisionLanguageModel, animals: Animals) -> dict[str, float]:
    """Leave a window in the middle visible, a quarter of the photograph, and name it: accuracy over six classes.

    Needs no true mask. Photographs with one of the classes only; the mean is over the classes.
    """
    columns = [VOC_CLASSES.index(name) for name in ANIMALS]
    texts = class_features(model, ANIMALS, phrases=True)
    right: dict[str, list[float]] = {name: [] for name in ANIMALS}
    for row in np.flatnonzero(animals.tags[:, columns].sum(1) == 1):
        pixels = animals.pixels(int(row))
        height, width = pixels.shape[-2:]
        masked = model.fill[:, None, None].expand(1, 3, height, width).clone()
        rows, across = slice(height // 4, height * 3 // 4), slice(width // 4, width * 3 // 4)
        masked[..., rows, across] = pixels[..., rows, across]
        guess = int((model.encode_images(masked) @ texts.T).argmax())
        right[ANIMALS[int(animals.tags[row, columns].argmax())]].append(float(animals.tags[row, columns[guess]]))
    return _with_mean({name: float(np.mean(values)) for name, values in right.items()})


@torch.inference_mode()
def measure_places(model: VisionLanguageModel, animals: Animals) -> dict[str, dict[str, float]]:
    """Measure how well places of the last map tell a class from the background of its photograph: mean AUC."""
    texts = {kind: class_features(model, ANIMALS, phrases=kind == "phrases") for kind in ("name", "phrases")}
    found: dict[str, dict[str, list[float]]] = {kind: {name: [] for name in ANIMALS} for kind in texts}
    for row, names in _with_animals(animals, DENSE_PHOTOS):
        cut = model.cut(F.interpolate(animals.pixels(row), (DENSE_SIDE, DENSE_SIDE), mode="bilinear", antialias=True))
        places = F.normalize(cut.activations[0], dim=-1)
        labels = _labels_of_places(animals.mask(row), cut.grid)
        outside = labels == 0
        for name in names:
            inside = labels == VOC_CLASSES.index(name) + 1
            if inside.any() and outside.any():
                for kind, features in texts.items():
                    scores = (places @ features[ANIMALS.index(name)]).double().numpy()
                    found[kind][name].append(area_under_curve(scores[inside.numpy()], scores[outside.numpy()]))
    return {
        kind: _with_mean({name: float(np.mean(values)) for name, values in of_kind.items()})
        for kind, of_kind in found.items()
    }


@torch.inference_mode()
def measure_masked(model: VisionLanguageModel, animals: Animals) -> dict[str, dict[str, float]]:
    """Mask objects and contexts by the true masks, and measure how often the right one matches a text better.

    "object" is the share of pairs whose foreground matches the class better than the background; "context" the share
    whose background matches a context word better; the others are mean cosines with the class.
    """
    classes = class_features(model, ANIMALS, phrases=True)
    contexts = {name: model.encode_classes(list(words)) for name, words in CONTEXTS.items()}
    rows: dict[str, list[tuple[float, ...]]] = {name: [] for name in ANIMALS}
    fill = model.fill[:, None, None]
    for row, names in _with_animals(animals, MASKED_PHOTOS):
        pixels, mask = animals.pixels(row)[0], animals.mask(row)
        for name in names:
            inside = (mask == VOC_CLASSES.index(name) + 1).float()
            views = torch.stack([pixels * inside + fill * (1 - inside), pixels * (1 - inside) + fill * inside])
            front, back = model.encode_images(views)
            text = classes[ANIMALS.index(name)]
            of_class = (float(front @ text), float(back @ text))
            right = float((contexts[name] @ back > contexts[name] @ front).float().mean())
            rows[name].append((float(of_class[0] > of_class[1]), right, *of_class))
    titles = ("object", "context", "cosine_foreground", "cosine_background")
    return {
        title: _with_mean({name: float(np.mean([value[i] for value in values])) for name, values in rows.items()})
        for i, title in enumerate(titles)
    }


def _with_animals(animals: Animals, limit: int) -> Iterator[tuple[int, list[str]]]:
    """Yield rows that have any of the six classes, and which, spread evenly over the ids."""
    columns = [VOC_CLASSES.index(name) for name in ANIMALS]
    rows = np.flatnonzero(animals.tags[:, columns].any(1))
    for row in rows[np.linspace(0, len(rows) - 1, min(limit, len(rows))).round().astype(int)]:
        yield int(row), [name for name, column in zip(ANIMALS, columns, strict=True) if animals.tags[row, column]]


def _labels_of_places(mask: Tensor, grid: tuple[int, int]) -> Tensor:
    """Give each place [h * w] the label of most of its pixels; 255 where that is the border."""
    one_hot = F.one_hot(mask.long(), 256)[..., [*range(21), 255]].permute(2, 0, 1).float()
    majority = F.adaptive_avg_pool2d(one_hot, grid).flatten(1).argmax(0)
    return torch.where(majority == 21, 255, majority)


def _as_batch(photo: Photo) -> Tensor:
    return torch.from_numpy(read_pixels(photo.path).copy()).permute(2, 0, 1)[None].float() / 255


def _with_mean(values: dict[str, float]) -> dict[str, float]:
    return {name: _rounded(value) for name, value in (values | {"mean": float(np.mean(list(values.values())))}).items()}


def _rounded(value: float | Tensor) -> float:
    return round(float(value), 4)
