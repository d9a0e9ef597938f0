"""Paints man-made contexts. Each fills the area with an RGB texture of random hue, scale and phase."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from semples.data.scenes.palette import BLACK, RGB, WHITE, between, jitter, mix
from semples.data.scenes.texture import (
    Area,
    FloatArray,
    grid,
    noise,
    ramp,
    rotated_grid,
    speckle,
    stencil,
    vertical_gradient,
    waves,
    whole_and_fraction,
)

BRICKS: tuple[RGB, ...] = ((172, 72, 50), (150, 58, 44), (186, 112, 70), (138, 84, 66))
PASTELS: tuple[RGB, ...] = (
    (150, 214, 210),
    (246, 190, 200),
    (190, 200, 240),
    (250, 236, 180),
    (190, 226, 180),
)
CHALK: RGB = (238, 238, 234)


def _receding(rng: np.random.Generator, area: Area) -> tuple[FloatArray, FloatArray]:
    """Return coordinates across and along a track: mostly upright and narrowing upward, or mostly level."""
    level = rng.random() < 0.35
    across, along = rotated_grid(area, between(rng, -20, 20) + (90 if level else 0))
    depth = 1 + (0 if level else between(rng, 0, 0.9)) * along
    return across / depth, along / depth


def rails(rng: np.random.Generator, area: Area) -> Image.Image:
    """Paint ballast with sleepers and pairs of steel rails."""
    across, along = _receding(rng, area)
    _, track = whole_and_fraction(across / between(rng, 0.4, 0.58) + rng.random())
    _, step = whole_and_fraction(along / between(rng, 0.085, 0.13) + rng.random())
    offset = np.abs(track - 0.5)
    stone = jitter(rng, mix((128, 122, 116), (150, 132, 112), rng.random()), 14)
    timber = jitter(rng, mix((78, 50, 32), (104, 78, 56), rng.random()), 10)
    grain = speckle(rng, area)
    image = ramp(grain, [mix(stone, BLACK, 0.45), stone, mix(stone, WHITE, 0.35)])
    sleepers = ramp(grain, [mix(timber, BLACK, 0.3), timber])
    image.paste(sleepers, mask=stencil((step < 0.48) & (offset < 0.4)))
    from_rail = np.abs(offset - 0.25)
    image.paste((52, 48, 50), mask=stencil(from_rail < 0.055))
    image.paste(jitter(rng, (206, 212, 222), 12), mask=stencil(from_rail < 0.035))
    return image


def wall(rng: np.random.Generator, area: Area) -> Image.Image:
    """Paint courses of bricks with mortar."""
    x, y = grid(area)
    height = between(rng, 0.06, 0.11)
    width = height * between(rng, 1.9, 2.5)
    # The offset of 40 keeps the numbers of rows and columns positive.
    row, rise = whole_and_fraction(y / height + 40 + rng.random())
    column, run = whole_and_fraction(x / width + 40 + 0.5 * (row % 2) + rng.random())
    joint = between(rng, 0.1, 0.17)
    mortar = (rise < joint) | (run < joint * height / width)
    tones = rng.random(997, dtype=np.float32)[(row * 31 + column).astype(np.int32) % 997]
    brick = jitter(rng, BRICKS[rng.integers(len(BRICKS))], 16)
    values = 0.7 * tones + 0.3 * speckle(rng, area)
    image = ramp(values, [mix(brick, BLACK, 0.35), brick, mix(brick, (255, 210, 170), 0.3)])
    image.paste(jitter(rng, mix((205, 200, 190), (165, 158, 150), rng.random()), 10), mask=stencil(mortar))
    return image


def road(rng: np.random.Generator, area: Area) -> Image.Image:
    """Paint asphalt with dashed white and solid lane marks."""
    across, along = _receding(rng, area)
    lane, place = whole_and_fraction(across / between(rng, 0.26, 0.36) + 20 + rng.random())
    _, dash = whole_and_fraction(along / between(rng, 0.22, 0.34) + rng.random())
    line = np.abs(place - 0.5) < between(rng, 0.06, 0.085)
    even = lane % 2 == 0
    asphalt = jitter(rng, mix((56, 56, 60), (104, 104, 108), rng.random()), 8)
    values = 0.6 * speckle(rng, area) + 0.4 * noise(rng, area, 0.3)
    image = ramp(values, [mix(asphalt, BLACK, 0.35), asphalt, mix(asphalt, WHITE, 0.2)])
    image.paste((246, 200, 40) if rng.random() < 0.6 else CHALK, mask=stencil(line & ~even))
    image.paste(CHALK, mask=stencil(line & even & (dash < 0.55)))
    return image


def tiles(rng: np.random.Generator, area: Area) -> Image.Image:
    """Paint a glossy ceramic grid in one or two pastel colors."""
    x, y = rotated_grid(area, 45 if rng.random() < 0.25 else between(rng, -4, 4))
    side = between(rng, 0.11, 0.2)
    column, run = whole_and_fraction(x / side + rng.random())
    row, rise = whole_and_fraction(y / side + rng.random())
    first, second = (PASTELS[index] for index in rng.permutation(len(PASTELS))[:2])
    diagonal = run + rise
    gloss = (
        np.clip(1.15 - diagonal, 0, 0.6) + rng.random(8, dtype=np.float32)[(column * 3 + row).astype(np.int32) % 8] / 8
    )
    image = ramp(gloss, [jitter(rng, first, 12), WHITE])
    if rng.random() < 0.6:
        other = ramp(gloss, [jitter(rng, second if rng.random() < 0.5 else WHITE, 8), WHITE])
        image.paste(other, mask=stencil((column + row) % 2 == 1))
    image.paste(WHITE, mask=stencil((np.abs(diagonal - 0.55) < 0.07) & (run > 0.14) & (rise > 0.14)))
    edge = 0.5 - between(rng, 0.035, 0.06)
    grout = np.maximum(np.abs(run - 0.5), np.abs(rise - 0.5)) > edge
    image.paste(jitter(rng, (140, 144, 150), 25), mask=stencil(grout))
    return image


def wood(rng: np.random.Generator, area: Area) -> Image.Image:
    """Paint planks with grain, joints and gaps."""
    along, across = rotated_grid(area, (90 if rng.random() < 0.5 else 0) + between(rng, -3, 3))
    plank, place = whole_and_fraction(across / between(rng, 0.13, 0.24) + 20 + rng.random())
    offsets = rng.random(64, dtype=np.float32)[plank.astype(np.int32) % 64]
    _, joint = whole_and_fraction(along / between(rng, 0.6, 0.9) + 7 * offsets)
    warp = noise(rng, area, between(rng, 0.2, 0.35))
    grain = waves(between(rng, 14, 24) * across + 3.2 * warp + 9 * offsets)
    base = jitter(rng, mix((142, 86, 44), (200, 152, 98), rng.random()), 14)
    tones = [mix(base, (60, 30, 10), 0.6), base, mix(base, (255, 226, 180), 0.35)]
    image = ramp(0.25 + 0.2 * grain + 0.5 * offsets + 0.12 * (speckle(rng, area) - 0.5), tones)
    image.paste(mix(base, (30, 14, 4), 0.82), mask=stencil((place < 0.06) | (joint < 0.025)))
    return image


def city(rng: np.random.Generator, area: Area) -> Image.Image:
    """Paint a skyline of buildings with lit and unlit windows."""
    dusk = rng.random() < 0.5
    high: RGB = (70, 70, 120) if dusk else (150, 190, 225)
    low: RGB = (240, 160, 110) if dusk else (222, 232, 240)
    image = ramp(vertical_gradient(area), [jitter(rng, high, 14), jitter(rng, low, 14)])
    draw = ImageDraw.Draw(image)
    base = jitter(rng, mix((84, 88, 108), (126, 110, 104), rng.random()), 14)
    for least, most, haze in ((0.72, 0.97, 0.35), (0.48, 0.78, 0.12), (0.16, 0.42, 0.0)):
        left = -rng.random() * 0.1 * area.unit
        while left < area.width:
            width = between(rng, 0.13, 0.26) * area.unit
            top = area.height * (1 - between(rng, least, most))
            tone = mix(jitter(rng, base, 28), high, haze)
            _building(rng, draw, area, (left, top, left + width), mix(tone, BLACK, 0.3 if dusk else 0.0))
            left += width
    return image


def _building(
    rng: np.random.Generator,
    draw: ImageDraw.ImageDraw,
    area: Area,
    box: tuple[float, float, float],
    tone: RGB,
) -> None:
    """Draw one building (left, top, right) down to the ground, with a lattice of windows."""
    left, top, right = box
    draw.rectangle((left, top, right, area.height), fill=tone, outline=mix(tone, BLACK, 0.55))
    columns = int(rng.integers(2, 5))
    step = (right - left) / (columns + 0.4)
    rise = step * between(rng, 1.0, 1.5)
    rows = int((area.height - top) / rise) + 1
    shining = (rng.random((rows, columns)) < between(rng, 0.25, 0.6)).tolist()
    dark, lit = mix(tone, (20, 30, 50), 0.6), (255, 224, 120)
    for row in range(rows):
        y = top + (row + 0.4) * rise
        for column in range(columns):
            x = left + (column + 0.4) * step
            draw.rectangle((x, y, x + 0.5 * step, y + 0.55 * rise), fill=lit if shining[row][column] else dark)
