"""Building blocks of the procedural contexts: coordinates, noise and colour ramps on an area of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from semples.data.scenes.palette import RGB

FloatArray = npt.NDArray[np.float32]
ImageArray = npt.NDArray[np.uint8]


class Area(NamedTuple):
    """Pixels to fill: width, height, and the side of the whole scene, which sets the scale of every texture."""

    width: int
    height: int
    unit: int

    def pixels(self, length: float) -> int:
        """Turn a length in scene sides into whole pixels, at least 1."""
        return max(1, round(length * self.unit))


def grid(area: Area) -> tuple[FloatArray, FloatArray]:
    """Return x [1, W] and y [H, 1] in scene sides, 0 at the area's centre."""
    x = (np.arange(area.width, dtype=np.float32) - area.width / 2) / np.float32(area.unit)
    y = (np.arange(area.height, dtype=np.float32) - area.height / 2) / np.float32(area.unit)
    return x[None, :], y[:, None]


def turned(area: Area, degrees: float) -> tuple[FloatArray, FloatArray]:
    """Return the grid turned by an angle, both float32 [H, W]."""
    x, y = grid(area)
    cosine, sine = np.float32(np.cos(np.radians(degrees))), np.float32(np.sin(np.radians(degrees)))
    return x * cosine + y * sine, y * cosine - x * sine


def noise(rng: np.random.Generator, area: Area, cell: float | tuple[float, float]) -> FloatArray:
    """Return smooth noise [H, W] around 0..1 with cells of the given size (or width, height) in scene sides."""
    width, height = cell if isinstance(cell, tuple) else (cell, cell)
    columns = max(2, round(area.width / area.unit / width))
    rows = max(2, round(area.height / area.unit / height))
    coarse = Image.fromarray(rng.random((rows, columns), dtype=np.float32))
    return np.asarray(coarse.resize((area.width, area.height), Image.Resampling.BICUBIC))


def speckle(rng: np.random.Generator, area: Area, grain: int = 2) -> FloatArray:
    """Return blocky noise [H, W] in 0..1 with grains of that many pixels."""
    rows, columns = -(-area.height // grain), -(-area.width // grain)
    coarse = rng.random((rows, columns), dtype=np.float32)
    return coarse.repeat(grain, axis=0).repeat(grain, axis=1)[: area.height, : area.width]


def ramp(values: FloatArray, colours: Sequence[RGB]) -> ImageArray:
    """Colour values (clipped to 0..1) along evenly spaced colours; uint8 [H, W, 3]."""
    positions = np.linspace(0, len(colours) - 1, 256)
    channels = [np.interp(positions, np.arange(len(colours)), channel) for channel in zip(*colours, strict=True)]
    table = np.stack(channels, axis=1).astype(np.uint8)
    return table[np.clip(values * 255, 0, 255).astype(np.uint8)]
