"""Augments training crops: RandAugment, color jitter, random erasing (``docs/method.md``, Augmentation).

All random numbers come from the given generator, and all sums run on one thread, so that a crop is the same in any
process and with any number of workers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from kornia.color import rgb_to_grayscale
from kornia.enhance import equalize, posterize, sharpness, solarize
from kornia.geometry.transform import warp_affine
from numpy.typing import NDArray
from torch import Tensor

Matrix = NDArray[np.float64]
"""Affine map [3, 3] from (x, y, 1) in the crop to (x, y, 1) in the augmented crop, in pixels, centers at integers."""


class Augmented(NamedTuple):
    """An augmented crop [3, S, S] in [0, 1], and the matrix by which it moved; :func:`warp` moves maps the same way."""

    pixels: Tensor
    matrix: Matrix


@dataclass(frozen=True)
class Augmentation:
    """RandAugment, then color jitter, then random erasing; all are off by default.

    Stages 1 and 3 mask the augmented crop itself by its own CAMs, so that nothing else has to be moved.

    Args:
        randaugment_operations: Number of operations per crop, drawn with replacement.
        randaugment_magnitude: Their severity, 0 to 10.
        color_jitter: Brightness, contrast and saturation are multiplied by 1 - j to 1 + j each, in random order.
        random_erasing: Probability that a rectangle is filled with the crop's mean color.
    """

    randaugment_operations: int = 0
    randaugment_magnitude: int = 9
    color_jitter: float = 0.0
    random_erasing: float = 0.0

    def __call__(self, pixels: Tensor, rng: np.random.Generator) -> Augmented:
        """Augment one crop [3, S, S] in [0, 1]; augmentations that are off draw nothing from ``rng``."""
        matrix = np.eye(3)
        for name, sign in draw_operations(rng, self.randaugment_operations):
            pixels, moved = operate(pixels, name, sign * self.randaugment_magnitude / 10)
            matrix = moved @ matrix  # later moves apply to points that earlier ones have moved
        if self.color_jitter > 0:
            pixels = jitter_colors(pixels, self.color_jitter, rng)
        if self.random_erasing > 0 and rng.random() < self.random_erasing:
            pixels = erase(pixels, rng)
        return Augmented(pixels, matrix)


def draw_operations(rng: np.random.Generator, count: int) -> list[tuple[str, int]]:
    """Draw names from ``OPERATIONS`` with replacement, each with a sign for operations that have two directions."""
    return [(OPERATIONS[rng.integers(len(OPERATIONS))], 1 - 2 * int(rng.integers(2))) for _ in range(count)]


def operate(pixels: Tensor, name: str, strength: float) -> Augmented:
    """Apply one operation of RandAugment (arXiv 1909.13719).

    Args:
        pixels: A crop [3, S, S] in [0, 1].
        name: One of ``OPERATIONS``.
        strength: -1 to 1; 0 changes nothing, except for "autocontrast" and "equalize", which have no strength.
    """
    if name in _COLORS:
        return Augmented(_COLORS[name](pixels, strength).clamp(0, 1), np.eye(3))
    matrix = _about_center(_MOVES[name](strength, pixels.shape[-1]), pixels.shape[-1])
    fill = torch.from_numpy(_mean_color(pixels))
    return Augmented(warp(pixels, matrix, "bilinear", fill).clamp(0, 1), matrix)


def warp(maps: Tensor, matrix: NDArray[np.floating], mode: str = "bilinear", fill: Tensor | float = 0.0) -> Tensor:
    """Move maps [C, S, S] the way a crop was moved; the inverse matrix moves them back.

    Args:
        maps: CAMs or pixels, or a float label map with mode "nearest".
        matrix: The matrix of an :class:`Augmented`.
        mode: "bilinear" or "nearest".
        fill: Value of points from outside the crop, one for all maps or one per map; 255 for labels.
    """
    size = (maps.shape[-2], maps.shape[-1])
    value = torch.as_tensor(fill, dtype=maps.dtype).reshape(-1, 1, 1)
    affine = torch.from_numpy(matrix[None, :2].astype(np.float32)).to(maps.dtype)
    # warp_affine pads with zeros: shifted by the fill value before and back afterwards, zero becomes that value.
    return warp_affine((maps - value)[None], affine, size, mode, padding_mode="zeros")[0] + value


def jitter_colors(pixels: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    """Multiply brightness, contrast and saturation of [3, S, S], each by a factor in [1 - strength, 1 + strength]."""
    names = ("brightness", "contrast", "color")
    factors = rng.uniform(max(0.0, 1 - strength), 1 + strength, len(names))
    for index in rng.permutation(len(names)):
        pixels = _blend(pixels, _DULL[names[index]](pixels), factors[index])
    return pixels


def erase(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """Fill a rectangle of [3, S, S] with the crop's mean color, which suits every model's normalization.

    Its share of the area is 0.02 to 1/3 and its aspect ratio 0.3 to 3.3 (arXiv 1708.04896). The first of ten draws
    that fits is taken; if none fits, the crop stays unchanged.
    """
    side = pixels.shape[-1]
    for _ in range(10):
        area = rng.uniform(0.02, 1 / 3) * side * side
        aspect = math.exp(rng.uniform(math.log(0.3), math.log(3.3)))
        height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if height < side and width < side:
            top, left = rng.integers(side - height + 1), rng.integers(side - width + 1)
            erased = pixels.clone()
            erased[:, top : top + height, left : left + width] = torch.from_numpy(_mean_color(pixels))[:, None, None]
            return erased
    return pixels


def _blend(pixels: Tensor, dull: Tensor | float, factor: float) -> Tensor:
    """Interpolate from the dull image (factor 0) to the image (1), or extrapolate beyond."""
    return (dull + (pixels - dull) * factor).clamp(0, 1)


def _mean_color(pixels: Tensor) -> NDArray[np.float32]:
    # By NumPy, because sums in torch depend on the number of threads.
    return np.asarray(pixels.numpy().mean(axis=(1, 2), dtype=np.float64), np.float32)


def _mean_gray(pixels: Tensor) -> float:
    return float(rgb_to_grayscale(pixels).numpy().mean(dtype=np.float64))


_DULL: dict[str, Callable[[Tensor], Tensor | float]] = {
    "brightness": lambda _: 0.0,
    "contrast": _mean_gray,
    "color": rgb_to_grayscale,
}
"""The image without any brightness, contrast or saturation, toward which :func:`_blend` fades."""


def _autocontrast(pixels: Tensor, _: float) -> Tensor:
    """Stretch each channel to [0, 1]; a constant channel stays unchanged."""
    low, high = pixels.amin((1, 2), keepdim=True), pixels.amax((1, 2), keepdim=True)
    return torch.where(high > low, (pixels - low) / (high - low).clamp(min=1e-6), pixels)


_COLORS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "identity": lambda pixels, _: pixels,
    "autocontrast": _autocontrast,
    "equalize": lambda pixels, _: equalize(pixels),
    "posterize": lambda pixels, strength: posterize(pixels, 8 - round(4 * abs(strength))),
    # kornia inverts values at or above the threshold: at strength 0 it must exceed 1, so that white stays white.
    "solarize": lambda pixels, strength: solarize(pixels, 256 / 255 * (1 - abs(strength))),
    "brightness": lambda pixels, strength: _blend(pixels, 0.0, 1 + 0.9 * strength),
    "contrast": lambda pixels, strength: _blend(pixels, _mean_gray(pixels), 1 + 0.9 * strength),
    "color": lambda pixels, strength: _blend(pixels, rgb_to_grayscale(pixels), 1 + 0.9 * strength),
    "sharpness": lambda pixels, strength: sharpness(pixels, 1 + 0.9 * strength),
}
"""Operations on colors: (pixels, strength in [-1, 1]) -> pixels."""


def _rotation(strength: float, _: int) -> Matrix:
    angle = math.radians(30 * strength)
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])


_MOVES: dict[str, Callable[[float, int], Matrix]] = {
    "rotate": _rotation,
    "shear_x": lambda strength, _: np.array([[1, 0.3 * strength, 0], [0, 1, 0], [0, 0, 1]]),
    "shear_y": lambda strength, _: np.array([[1, 0, 0], [0.3 * strength, 1, 0], [0, 0, 1]]),
    "translate_x": lambda strength, side: np.array([[1, 0, 0.45 * strength * side], [0, 1, 0], [0, 0, 1]]),
    "translate_y": lambda strength, side: np.array([[1, 0, 0], [0, 1, 0.45 * strength * side], [0, 0, 1]]),
}
"""Geometric operations: (strength in [-1, 1], side S) -> affine map about the center."""


def _about_center(matrix: Matrix, side: int) -> Matrix:
    """Turn a map about the origin into the same map about the center of a crop."""
    center = np.eye(3)
    center[:2, 2] = (side - 1) / 2
    return center @ matrix @ np.linalg.inv(center)


OPERATIONS = (*_COLORS, *_MOVES)
"""The 14 operations of RandAugment."""
