"""Composes a scene: contexts in their regions, objects in front of them, and the exact mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from semples.data.scenes.contexts import PAINTERS
from semples.data.scenes.objects import SKETCHERS
from semples.data.scenes.paint import MARGIN, Paint, choose_paint, pose, rasterize
from semples.data.scenes.palette import RGB, between
from semples.data.scenes.texture import Area

GROUND: RGB = (128, 128, 128)
"""Color of a placement without a context."""

_SINGLE_SHARES, _PAIR_SHARES = (0.38, 0.65), (0.30, 0.45)
"""Smallest and largest size of an object, as a share of the image's side: alone, or one of two."""
_SMALL_BELOW, _LARGE_FROM = 0.38, 0.52
"""Shares of the side below and from which an object is called small and large."""

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels."""


@dataclass(frozen=True)
class Placement:
    """An object in a context.

    Attributes:
        object: A name of OBJECTS, or None to draw the context only.
        context: A name of CONTEXTS, or None for a plain mid-gray ground.
    """

    object: str | None
    context: str | None


@dataclass(frozen=True)
class Appearance:
    """Words for how an object was drawn; ``size`` is "small", "large", or None in between."""

    color: str
    pattern: str
    size: str | None


@dataclass(frozen=True)
class Scene:
    """One drawn scene.

    Attributes:
        image: uint8 [size, size, 3].
        mask: uint8 [size, size]; 0 is background, i + 1 is the visible part of the object of placement i.
        appearances: Words for the object of each placement, or None if it has no object.
    """

    image: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8]
    appearances: tuple[Appearance | None, ...]


def draw_scene(rng: np.random.Generator, size: int, placements: Sequence[Placement]) -> Scene:
    """Draw one or two placements on a square image.

    The same generator state gives the same bytes. A pixel belongs to an object's mask if the object covers
    more than half of it; the later of two objects is in front.

    Args:
        rng: Source of every random choice.
        size: Side of the image in pixels.
        placements: One placement, whose context fills the image, or two, each with its own region.

    Raises:
        ValueError: There are not one or two placements, or an object or context is unknown.
    """
    _check(placements)
    factor = 3 if size <= 64 else 2  # drawn larger and reduced, for smooth edges
    canvas = Image.new("RGB", (size * factor, size * factor), GROUND)
    regions = _fill_contexts(rng, canvas, placements)
    mask = np.zeros((size, size), dtype=np.uint8)
    appearances: list[Appearance | None] = []
    for value, (placement, region) in enumerate(zip(placements, regions, strict=True), start=1):
        if placement.object is None:
            appearances.append(None)
            continue
        share = between(rng, *(_SINGLE_SHARES if len(placements) == 1 else _PAIR_SHARES))
        paint, alpha = _draw_object(rng, canvas, placement.object, region, share)
        mask[np.asarray(alpha.reduce(factor)) > 127] = value
        appearances.append(Appearance(paint.color, paint.pattern, _size_word(share)))
    return Scene(_vary_exposure(rng, np.asarray(canvas.reduce(factor))), mask, tuple(appearances))


def _check(placements: Sequence[Placement]) -> None:
    if len(placements) not in (1, 2):
        raise ValueError(f"placements: found {len(placements)}, expected one or two")
    for placement in placements:
        if placement.object is not None and placement.object not in SKETCHERS:
            raise ValueError(f'unknown object "{placement.object}"')
        if placement.context is not None and placement.context not in PAINTERS:
            raise ValueError(f'unknown context "{placement.context}"')


def _size_word(share: float) -> str | None:
    if share < _SMALL_BELOW:
        return "small"
    return "large" if share >= _LARGE_FROM else None


def _fill_contexts(rng: np.random.Generator, canvas: Image.Image, placements: Sequence[Placement]) -> list[Box]:
    """Fill the canvas with the placements' contexts; return the bounding box of each one's region.

    The regions of two placements lie side by side or one above the other, divided by a wavy border. Their boxes
    overlap in the strip that the border runs through. The random draws keep their order whatever the contexts are.
    """
    side = canvas.width
    if len(placements) == 1:
        _fill(rng, canvas, placements[0].context, (0, 0, side, side), None)
        return [(0, 0, side, side)]
    # The border as offsets from the left edge. The first region reaches to its farthest offset, the second one
    # starts at its nearest.
    border, upright = _draw_border(rng, side), rng.random() < 0.5
    near, far = round(border.min()), round(border.max())
    first, second = ((0, 0, far, side), (near, 0, side, side))
    # The outline of the first region: down along the border, and back along the left edge.
    stencil = Image.new("L", (side, side))
    line = [(float(offset), index * side / (len(border) - 1)) for index, offset in enumerate(border)]
    outline = [(0.0, 0.0), *line, (0.0, float(side))]
    if not upright:  # the same with x and y swapped: one region above the other
        first, second = ((0, 0, side, far), (0, near, side, side))
        outline = [(y, x) for x, y in outline]
    ImageDraw.Draw(stencil).polygon(outline, fill=255)
    if placements[0].context == placements[1].context:  # one texture, without a visible seam
        _fill(rng, canvas, placements[0].context, (0, 0, side, side), None)
    else:  # the second context fills its whole box, then the first covers it up to the border
        _fill(rng, canvas, placements[1].context, second, None)
        _fill(rng, canvas, placements[0].context, first, stencil)
    return [first, second]


def _draw_border(rng: np.random.Generator, side: int) -> npt.NDArray[np.float64]:
    """Draw a slightly wavy, tilted border; return its offsets in pixels at 25 points along a side."""
    along = np.linspace(-0.5, 0.5, 25)
    waves = between(rng, 0.005, 0.025) * np.sin(2 * np.pi * (between(rng, 1, 2.5) * along + rng.random()))
    return (between(rng, 0.43, 0.57) + between(rng, -0.2, 0.2) * along + waves) * side


def _fill(
    rng: np.random.Generator, canvas: Image.Image, context: str | None, box: Box, stencil: Image.Image | None
) -> None:
    """Paint a context into a box of the canvas, limited to the stencil (of the canvas's size) if there is one."""
    area = Area(box[2] - box[0], box[3] - box[1], canvas.width)
    filling = Image.new("RGB", area[:2], GROUND) if context is None else PAINTERS[context](rng, area)
    canvas.paste(filling, box[:2], stencil.crop(box) if stencil else None)


def _draw_object(
    rng: np.random.Generator, canvas: Image.Image, name: str, region: Box, share: float
) -> tuple[Paint, Image.Image]:
    """Draw an object into its region; return its paint and its opacity, mode "L" at the canvas's size."""
    sketch = pose(rng, SKETCHERS[name](rng), share * canvas.width)
    extent = np.concatenate([shape.points for shape in sketch.shapes]).max(axis=0)
    left, top = (
        round(_draw_offset(rng, region[axis], region[axis + 2], float(extent[axis]), canvas.width)) for axis in (0, 1)
    )
    # The paint must stand out from the mean color behind the object.
    box = (max(0, left), max(0, top), left + round(extent[0]), top + round(extent[1]))
    surroundings = np.asarray(canvas.crop(box).resize((1, 1), Image.Resampling.BOX), dtype=np.float64)[0, 0]
    paint = choose_paint(rng, surroundings)
    tile = rasterize(rng, sketch, paint)
    alpha = Image.new("L", canvas.size)
    corner = (left - MARGIN, top - MARGIN)
    alpha.paste(tile.getchannel("A"), corner)
    canvas.paste(tile, corner, tile)
    return paint, alpha


def _draw_offset(rng: np.random.Generator, low: int, high: int, extent: float, side: int) -> float:
    """Draw the start of an object along an axis: in its region or up to 8 % beyond, but always within the image."""
    slack = 0.08 * extent
    first, last = low - slack, high - extent + slack
    start = between(rng, first, last) if first < last else (first + last) / 2
    return float(np.clip(start, 0, side - extent))


def _vary_exposure(rng: np.random.Generator, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Vary brightness and contrast of the whole image, and add slight pixel noise."""
    contrast, brightness = np.float32(between(rng, 0.82, 1.12)), np.float32(between(rng, -18, 18))
    levels = (image.astype(np.float32) - 128) * contrast + (128 + brightness)
    levels += rng.standard_normal(image.shape, dtype=np.float32) * np.float32(between(rng, 1, 4))
    lit: npt.NDArray[np.uint8] = np.clip(levels, 0, 255).astype(np.uint8)
    return lit
