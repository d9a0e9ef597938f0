"""Views of the photographs, passed once through the frozen part of the image tower and kept on disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from photo_data import Photo, read_pixels
from photo_tower import PIXEL_MEAN, PIXEL_STD, ImageNetTeacher, before_projection, lower_part

SIDE = 224
"""Side of a view in pixels."""
CELLS = SIDE // 32
"""Side of the kept map."""
WHOLE, CROP, MASKED = range(3)
"""Whole photograph; mirrored crop of any scale; the whole with all outside a blob in the mean color."""
VISIBLE, HIDDEN = 3, 4
"""Behind the views, of the whole photograph: the mean over the places outside of the mask, and inside."""
VIEWS = 3
CROP_AREA = (0.15, 1.0)
"""Smallest and largest share of a photograph in a crop."""


@dataclass(frozen=True)
class CachedViews:
    """Kept maps of N photographs.

    Attributes:
        maps: float16 [N, 3, 7, 7, 208], views in the order of the constants.
        visible: float16 [N, 7, 7], share of each place that is visible in view ``MASKED``.
    """

    maps: NDArray[np.float16]
    visible: NDArray[np.float16]


def cache_views(photos: Sequence[Photo], tower: Any, folder: Path, batch: int = 8) -> CachedViews:
    """Compute the maps that are not in the folder yet; return all."""
    maps = _open(folder / "maps.npy", (len(photos), VIEWS, CELLS, CELLS, 208))
    visible = _open(folder / "visible.npy", (len(photos), CELLS, CELLS))
    state = folder / "done.json"
    done = json.loads(state.read_text(encoding="utf-8")) if state.is_file() else 0
    for start in tqdm(range(done, len(photos), batch), "views", mininterval=10):
        part = range(start, min(start + batch, len(photos)))
        drawn = [draw_views(read_pixels(photos[i].path), np.random.default_rng(i)) for i in part]
        maps[part.start : part.stop] = encode_views(tower, torch.cat([views for views, _ in drawn]))
        visible[part.start : part.stop] = np.stack([shares for _, shares in drawn])
        state.write_text(json.dumps(part.stop), encoding="utf-8")
    return CachedViews(maps, visible)


@torch.inference_mode()
def pool_views(
    views: CachedViews, tower: Any, teacher: ImageNetTeacher, groups: Tensor, batch: int = 16
) -> tuple[Tensor, Tensor]:
    """Run the rest of the frozen tower, up to the last convolution, and average over places.

    Args:
        views: Kept maps of N photographs.
        tower: The image tower, with its normalization absorbed.
        teacher: ImageNet's own classifier.
        groups: Matrix [1000, T] that sums ImageNet's classes to texts.
        batch: Photographs at a time.

    Returns:
        Vectors float16 [N, 5, C]: of each view, then of the places of the whole that the masked view shows, and of
        those that it hides; and the probabilities float16 [N, 2, T] of the texts in WHOLE and CROP.
    """
    pooled, probabilities = [], []
    for start in tqdm(range(0, len(views.maps), batch), "pooling", mininterval=10):
        maps = torch.from_numpy(views.maps[start : start + batch]).float()  # [B, 3, 7, 7, 208]
        hidden = maps.flatten(0, 1).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        places = before_projection(tower, hidden).flatten(2).mT.unflatten(0, (-1, VIEWS))  # [B, 3, 49, C]
        shown = torch.from_numpy(views.visible[start : start + batch]).float().flatten(1)[..., None]  # [B, 49, 1]
        whole = places[:, WHOLE]
        sides = [(whole * share).sum(1) / share.sum(1).clamp(min=1e-3) for share in (shown, 1 - shown)]
        pooled.append(torch.cat([places.mean(2), torch.stack(sides, 1)], 1).half())
        logits = teacher(hidden.unflatten(0, (-1, VIEWS))[:, [WHOLE, CROP]].flatten(0, 1))
        probabilities.append((logits.softmax(1) @ groups).unflatten(0, (-1, 2)).half())
    return torch.cat(pooled), torch.cat(probabilities)


@torch.inference_mode()
def encode_views(tower: Any, pixels: Tensor) -> NDArray[np.float16]:
    """Run the lower part on normalized pixels [B * 3, 3, S, S]: maps float16 [B, 3, S / 32, S / 32, 208]."""
    hidden = lower_part(tower, pixels.contiguous(memory_format=torch.channels_last))
    values = hidden.permute(0, 2, 3, 1).half().numpy()
    return values.reshape(-1, VIEWS, *values.shape[1:])


def draw_views(pixels: NDArray[np.uint8], rng: np.random.Generator) -> tuple[Tensor, NDArray[np.float32]]:
    """Draw the three views [3, 3, S, S], normalized, and the blob's visible share per place [S / 32, S / 32]."""
    image = normalize(pixels)
    whole = resize(image)
    blob = draw_blob(rng)
    views = torch.stack([whole, random_crop(image, rng, CROP_AREA).flip(-1), whole * blob])
    shares = F.avg_pool2d(blob[None, None], 32)[0, 0]
    return views, shares.numpy()


def normalize(pixels: NDArray[np.uint8]) -> Tensor:
    """Turn uint8 [H, W, 3] into normalized pixels [3, H, W]; the mean color is zero."""
    return (torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255 - PIXEL_MEAN) / PIXEL_STD


def resize(image: Tensor, side: int = SIDE) -> Tensor:
    """Resize pixels [3, H, W] to a square."""
    if image.shape[-2:] == (side, side):
        return image
    return F.interpolate(image[None], (side, side), mode="bilinear", align_corners=False, antialias=True)[0]


def random_crop(image: Tensor, rng: np.random.Generator, area: tuple[float, float]) -> Tensor:
    """Cut a window of a random share of the area and a ratio of sides between 3:4 and 4:3, resized to a view."""
    height, width = image.shape[-2:]
    share, ratio = rng.uniform(*area), np.exp(rng.uniform(-0.29, 0.29))
    rows = min(height, round(height * np.sqrt(share * ratio)))
    columns = min(width, round(width * np.sqrt(share / ratio)))
    top, left = rng.integers(height - rows + 1), rng.integers(width - columns + 1)
    return resize(image[:, top : top + rows, left : left + columns])


def draw_blob(rng: np.random.Generator) -> Tensor:
    """Draw a mask [S, S] of zeros and ones: a smooth random blob, or in a third of cases a rectangle."""
    if rng.random() < 1 / 3:
        blob = torch.zeros(SIDE, SIDE)
        rows, columns = rng.integers(SIDE // 3, SIDE * 5 // 6, size=2)
        top, left = rng.integers(SIDE - rows + 1), rng.integers(SIDE - columns + 1)
        blob[top : top + rows, left : left + columns] = 1
        return blob
    noise = torch.from_numpy(rng.standard_normal((1, 1, 4, 4))).float()
    smooth = F.interpolate(noise, (SIDE, SIDE), mode="bicubic", align_corners=False)[0, 0]
    return (smooth > smooth.flatten()[::97].quantile(rng.uniform(0.3, 0.7))).float()


def _open(path: Path, shape: tuple[int, ...]) -> Any:
    mode = "r+" if path.is_file() else "w+"
    return np.lib.format.open_memmap(path, mode=mode, dtype=np.float16, shape=shape)
