"""Building blocks of procedural contexts: coordinates, noise, color ramps and stencils."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from semples.data.scenes.palette import RGB

FloatArray = npt.NDArray[np.floating[Any]]
"""All arrays here are float32; NumPy's type hints lose that in arithmetic with floats."""
BoolArray = npt.NDArray[np.bool_]


class Area(NamedTuple):
    """Pixels to fill: width, height, and the side of the whole scene (``unit``), which sets the scale of textures."""

    width: int
    height: int
    unit: int

    def pixels(self, length: float) -> int:
        """Convert a length in scene sides to whole pixels, at least 1."""
        return max(1, round(length * self.unit))


def grid(area: Area) -> tuple[FloatArray, FloatArray]:
    """Return x [1, W] and y [H, 1] in scene sides; 0 is the area's center."""
    x = (np.arange(area.width, dtype=np.float32) - area.width / 2) / area.unit
    y = (np.arange(area.height, dtype=np.float32) - area.height / 2) / area.unit
    return x[None, :], y[:, None]


def rotated_grid(area: Area, degrees: float) -> tuple[FloatArray, FloatArray]:
    """Return the x and y of a grid rotated by an angle, both [H, W]."""
    x, y = grid(area)
    cosine, sine = float(np.cos(np.radians(degrees))), float(np.sin(np.radians(degrees)))
    return x * cosine + y * sine, y * cosine - x * sine


def vertical_gradient(area: Area) -> FloatArray:
    """Return values [H, W] that rise from 0 in the top row to 1 in the bottom row."""
    rows = np.linspace(0, 1, area.height, dtype=np.float32)[:, None]
    return np.broadcast_to(rows, (area.height, area.width))


def waves(phase: FloatArray) -> FloatArray:
    """Return the sine of a phase given in whole turns."""
    sines: FloatArray = np.sin(phase * float(2 * np.pi))
    return sines


def whole_and_fraction(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Split values into their whole part and their fraction in [0, 1)."""
    whole = np.floor(values)
    return whole, values - whole


def noise(rng: np.random.Generator, area: Area, width: float, height: float | None = None) -> FloatArray:
    """Return smooth noise [H, W] of about 0..1 with cells of the given size (square by default) in scene sides."""
    columns = max(2, round(area.width / area.unit / width))
    rows = max(2, round(area.height / area.unit / (height or width)))
    coarse = Image.fromarray(rng.random((rows, columns), dtype=np.float32))
    return np.asarray(coarse.resize((area.width, area.height), Image.Resampling.BICUBIC))


def speckle(rng: np.random.Generator, area: Area) -> FloatArray:
    """Return noise [H, W] in 0..1, constant on blocks of 2 x 2 pixels."""
    coarse = rng.random(((area.height + 1) // 2, (area.width + 1) // 2), dtype=np.float32)
    return coarse.repeat(2, axis=0).repeat(2, axis=1)[: area.height, : area.width]


def scatter(rng: np.random.Generator, area: Area, density: float) -> list[tuple[float, float]]:
    """Return random points in pixels, ``density`` of them per area of the whole scene."""
    count = round(density * area.width * area.height / area.unit**2)
    points = rng.random((count, 2)) * (area.width, area.height)
    return [(x, y) for x, y in points.tolist()]


def ramp(values: FloatArray, colors: Sequence[RGB]) -> Image.Image:
    """Color values [H, W] (clipped to 0..1) along evenly spaced colors."""
    positions = np.linspace(0, len(colors) - 1, 256)
    channels = [np.interp(positions, np.arange(len(colors)), channel) for channel in zip(*colors, strict=True)]
    image = Image.fromarray(np.clip(values * 255, 0, 255).astype(np.uint8))
    image.putpalette(np.stack(channels, axis=1).astype(np.uint8).tobytes())
    return image.convert("RGB")


def stencil(where: BoolArray | FloatArray) -> Image.Image:
    """Return a mask image for pasting from bool [H, W], or from an opacity [H, W] in 0..1."""
    if where.dtype == np.bool_:
        return Image.fromarray(where)
    return Image.fromarray((np.clip(where, 0, 1) * 255).astype(np.uint8))
