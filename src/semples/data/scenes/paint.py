"""Turns a sketch into pixels: pose, colors, pattern and shading."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from semples.data.scenes.palette import (
    BLACK,
    COLORS,
    PATTERNS,
    RGB,
    WHITE,
    contrasting,
    jitter,
    luminance,
    mix,
)
from semples.data.scenes.sketch import FloatArray, Shape, Sketch

MARGIN = 3
"""Pixels around a drawn object, for its outline."""

_LEAST_CONTRAST = 110.0
"""Smallest Euclidean RGB distance of a body color from its surroundings."""


@dataclass(frozen=True)
class Paint:
    """Words for an object's body, and the colors they mean in this drawing."""

    color: str
    pattern: str
    body: RGB
    second: RGB
    outline: RGB

    def plain(self, fill: str | RGB) -> RGB:
        """Return the flat color of a fill without a pattern."""
        if fill == "shade":
            return contrasting(self.body, 0.34)
        if fill == "tint":
            return mix(self.body, WHITE, 0.5) if luminance(self.body) < 200 else mix(self.body, BLACK, 0.2)
        assert not isinstance(fill, str)
        return fill


def choose_paint(rng: np.random.Generator, surroundings: FloatArray) -> Paint:
    """Draw a color word that stands out from the surroundings' mean RGB (float [3]), and a pattern word."""
    distances = {word: float(np.linalg.norm(np.asarray(rgb) - surroundings)) for word, rgb in COLORS.items()}
    visible = [word for word, distance in distances.items() if distance >= _LEAST_CONTRAST]
    color = visible[rng.integers(len(visible))] if visible else max(distances, key=distances.__getitem__)
    body = jitter(rng, COLORS[color], 10)
    second = mix(body, BLACK, 0.3) if luminance(body) > 150 else mix(body, WHITE, 0.55)
    outline = mix(body, BLACK, 0.68) if luminance(body) > 60 else (168, 168, 182)
    return Paint(color, PATTERNS[rng.integers(len(PATTERNS))], body, second, outline)


def pose(rng: np.random.Generator, sketch: Sketch, side: float) -> Sketch:
    """Flip, stretch, rotate and scale a sketch, and move it so that x and y start at 0 pixels.

    ``side`` is 3/4 of its longer side plus 1/4 of its shorter side, so that long objects do not become thin.
    """
    flip = rng.choice((-1.0, 1.0))
    stretch = np.exp(rng.uniform(-0.12, 0.12))
    angle = np.radians(rng.uniform(-15, 15))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    matrix = np.diag((flip * stretch, 1 / stretch)) @ turn
    shapes = [shape.points @ matrix for shape in sketch.shapes]
    corners = np.concatenate(shapes)
    low, high = corners.min(axis=0), corners.max(axis=0)
    extent = high - low
    scale = side / (0.75 * extent.max() + 0.25 * extent.min())
    return Sketch(
        [
            Shape((points - low) * scale, shape.fill, shape.width * scale, shape.outlined)
            for points, shape in zip(shapes, sketch.shapes, strict=True)
        ]
    )


def rasterize(rng: np.random.Generator, sketch: Sketch, paint: Paint) -> Image.Image:
    """Draw a posed sketch on a transparent RGBA tile with MARGIN extra pixels on each side."""
    extent = np.concatenate([shape.points for shape in sketch.shapes]).max(axis=0)
    size = (int(extent[0]) + 2 * MARGIN, int(extent[1]) + 2 * MARGIN)
    tile = Image.new("RGBA", size)
    draw = ImageDraw.Draw(tile)
    texture = _texture(rng, size, paint)
    border = max(1, round(max(size) / 90))
    for shape in sketch.shapes:
        points = (shape.points + MARGIN).ravel().tolist()
        if shape.width:
            width = max(2, round(shape.width))
            draw.line(points, fill=(*paint.plain(shape.fill), 255), width=width, joint="curve")
            continue
        if shape.fill == "body":
            stencil = Image.new("1", size)
            ImageDraw.Draw(stencil).polygon(points, fill=1)
            tile.paste(texture, mask=stencil)
        else:
            draw.polygon(points, fill=(*paint.plain(shape.fill), 255))
        if shape.outlined:
            draw.line([*points, *points[:4]], fill=(*paint.outline, 255), width=border)
    return tile


def _texture(rng: np.random.Generator, size: tuple[int, int], paint: Paint) -> Image.Image:
    """Return the RGBA texture of the body: the pattern in two colors under a linear light gradient."""
    width, height = size
    x = np.linspace(-0.5, 0.5, width, dtype=np.float32)[None, :] * (width / max(size))
    y = np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None] * (height / max(size))
    pixels = np.empty((height, width, 4), dtype=np.float32)
    pixels[...] = (*paint.body, 255)
    if paint.pattern != "plain":
        pixels[_pattern(rng, paint.pattern, x, y), :3] = paint.second
    angle = rng.uniform(0, 2 * np.pi)
    light = 1 + rng.uniform(0.1, 0.45) * (x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle)))
    pixels[..., :3] *= light[..., None]
    return Image.fromarray(np.minimum(pixels, 255).astype(np.uint8))


def _pattern(
    rng: np.random.Generator, pattern: str, x: npt.NDArray[np.float32], y: npt.NDArray[np.float32]
) -> npt.NDArray[np.bool_]:
    """Return where the second color is, bool [H, W]; x and y are in units of the object's longer side."""
    angle = rng.choice((0.0, 0.0, 45.0, 90.0)) + rng.uniform(-12, 12)
    cosine, sine = np.float32(np.cos(np.radians(angle))), np.float32(np.sin(np.radians(angle)))
    period = rng.uniform(0.11, 0.17)
    u = (x * cosine + y * sine) / period + rng.random()
    v = (y * cosine - x * sine) / period + rng.random()
    u, v = u - np.floor(u), v - np.floor(v)  # position within one period, 0..1
    if pattern == "striped":
        return np.asarray(u < 0.5)
    if pattern == "dotted":
        return np.asarray((u - 0.5) ** 2 + (v - 0.5) ** 2 < 0.085)
    return np.asarray((u < 0.5) ^ (v < 0.5))
