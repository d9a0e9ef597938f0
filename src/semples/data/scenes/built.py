"""Contexts that people made. Each fills the whole area with an RGB texture of random hue, scale and phase."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from semples.data.scenes.palette import BLACK, RGB, WHITE, between, jitter, mix
from semples.data.scenes.texture import Area, FloatArray, grid, noise, ramp, speckle, turned


def _receding(rng: np.random.Generator, area: Area) -> tuple[FloatArray, FloatArray]:
    """Return across and along a ground that recedes (or lies flat) in a random mostly upright direction."""
    level = rng.random() < 0.35
    across, along = turned(area, between(rng, -20, 20) + (90 if level else 0))
    depth = 1 + (0 if level else between(rng, 0, 0.9)) * along
    return across / depth, along / depth


def rails(rng: np.random.Generator, area: Area) -> Image.Image:
    """Paint ballast with sleepers and pairs of steel rails."""
    across, along = _receding(rng, area)
    track = across / between(rng, 0.4, 0.58) + rng.random()
    track = np.abs(track - np.floor(track) - 0.5)
    step = along / between(rng, 0.085, 0.13) + rng.random()
    sleeper = (step - np.floor(step) < 0.48) & (track < 0.4)
    stone = jitter(rng, mix((128, 122, 116), (150, 132, 112), rng.random()), 14)
    timber = jitter(rng, mix((78, 50, 32), (104, 78, 56), rng.random()), 10)
    grain = speckle(rng, area)
    pixels = ramp(grain, [mix(stone, BLACK, 0.45), stone, mix(stone, WHITE, 0.35)])
    pixels[sleeper] = ramp(grain, [mix(timber, BLACK, 0.3), timber])[sleeper]
    pixels[np.abs(track - 0.25) < 0.055] = (52, 48, 50)
    pixels[np.abs(track - 0.25) < 0.035] = jitter(rng, (206, 212, 222), 12)
    return Image.fromarray(pixels)


def wall(rng: np.random.Generator, area: Area) -> Image.Image:
    """Paint courses of bricks with mortar."""
    x, y = grid(area)
    height = between(rng, 0.06, 0.1)
    width = height * between(rng, 1.9, 2.5)
    course = y / height + 40 + rng.random()
    row = np.floor(course).astype(int)
    place = x / width + 40 + 0.5 * (row % 2) + rng.random()
    column = np.floor(place).astype(int)
    joint = between(rng, 0.1, 0.17)
    mortar = (course - row < joint) | (place - column < joint * height / width)
    tones = rng.random((row.max() + 1, column.max() + 1), dtype=np.float32)
    hues: tuple[RGB, ...] = ((172, 72, 50), (150, 58, 44), (186, 112, 70), (138, 84, 66))
    brick = jitter(rng, hues[rng.integers(len(hues))], 14)
    values = 0.7 * tones[np.broadcast_to(row, column.shape), column] + 0.3 * speckle(rng, area)
    pixels = ramp(values, [mix(brick, BLACK, 0.35), brick, mix(brick, (255, 210, 170), 0.3)])
    pixels[mortar] = jitter(rng, mix((205, 200, 190), (165, 158, 150), rng.random()), 10)
    return Image.fromarray(pixels)


def road(rng: np.random.Generator, area: Area) -> Image.Image:
    """Paint asphalt with dashed white and solid lane marks."""
    across, along = _receding(rng, area)
    lane = across / between(rng, 0.26, 0.36) + 20 + rng.random()
    dash = along / between(rng, 0.22, 0.34) + rng.random()
    line = np.abs(lane - np.floor(lane) - 0.5) < between(rng, 0.06, 0.085)
    dashed = np.floor(lane).astype(int) % 2 == 0
    painted = line & (~dashed | (dash - np.floor(dash) < 0.55))
    asphalt = jitter(rng, mix((58, 58, 62), (96, 96, 100), rng.random()), 8)
    values = 0.6 * speckle(rng, area) + 0.4 * noise(rng, area, 0.3)
    pixels = ramp(values, [mix(asphalt, BLACK, 0.35), asphalt, mix(asphalt, WHITE, 0.2)])
    edge: RGB = (246, 200, 40) if rng.random() < 0.6 else (238, 238, 234)
    pixels[painted] = edge
    pixels[painted & dashed] = (238, 238, 234)
    return Image.fromarray(pixels)


def tiles(rng: np.random.Generator, area: Area) -> Image.Image:
    """Paint a glossy ceramic grid in pastel colours."""
    x, y = turned(area, 45 if rng.random() < 0.25 else between(rng, -4, 4))
    side = between(rng, 0.11, 0.19)
    column, row = x / side + 40 + rng.random(), y / side + 40 + rng.random()
    inner_x, inner_y = column - np.floor(column), row - np.floor(row)
    column, row = np.floor(column).astype(int), np.floor(row).astype(int)
    pastels: tuple[RGB, ...] = ((150, 214, 210), (246, 190, 200), (190, 200, 240), (250, 236, 180), (190, 226, 180))
    first, second = rng.permutation(len(pastels))[:2]
    tints = [jitter(rng, pastels[first], 12), jitter(rng, pastels[second] if rng.random() < 0.5 else WHITE, 8)]
    chequered = rng.random() < 0.6
    gloss = np.clip(1.15 - inner_x - inner_y, 0, 0.6) + 0.1 * ((column * 7 + row * 13) % 5) / 5
    pixels = ramp(gloss, [tints[0], WHITE])
    if chequered:
        other = (column + row) % 2 == 1
        pixels[other] = ramp(gloss, [tints[1], WHITE])[other]
    streak = (np.abs(inner_x + inner_y - 0.55) < 0.07) & (inner_x > 0.14) & (inner_y > 0.14)
    pixels[streak] = WHITE
    grout = np.minimum(np.minimum(inner_x, 1 - inner_x), np.minimum(inner_y, 1 - inner_y)) < between(rng, 0.035, 0.06)
    pixels[grout] = jitter(rng, (140, 144, 150), 25)
    return Image.fromarray(pixels)


def wood(rng: np.random.Generator, area: Area) -> Image.Image:
    """Paint planks with grain, joints and gaps."""
    along, across = turned(area, (90 if rng.random() < 0.5 else 0) + between(rng, -3, 3))
    position = across / between(rng, 0.13, 0.22) + 20 + rng.random()
    plank = np.floor(position).astype(int)
    offsets = rng.random(64, dtype=np.float32)[plank % 64]
    place = along / between(rng, 0.6, 0.9) + 7 * offsets + 20
    gap = (position - plank < 0.06) | (np.abs(place - np.round(place)) < 0.014)
    warp = noise(rng, area, between(rng, 0.2, 0.35))
    grain = np.sin(2 * np.pi * (between(rng, 16, 24) * across + 3.2 * warp + 9 * offsets))
    base = jitter(rng, mix((150, 94, 48), (196, 146, 92), rng.random()), 14)
    tones = [mix(base, (60, 30, 10), 0.6), base, mix(base, (255, 226, 180), 0.35)]
    pixels = ramp(0.5 + 0.2 * grain + 0.5 * (offsets - 0.5) + 0.12 * (speckle(rng, area) - 0.5), tones)
    pixels[gap] = mix(base, (30, 14, 4), 0.82)
    return Image.fromarray(pixels)


def city(rng: np.random.Generator, area: Area) -> Image.Image:
    """Paint a skyline of buildings with lit and unlit windows."""
    _, y = grid(area)
    dusk = rng.random() < 0.5
    high: RGB = (70, 70, 120) if dusk else (150, 190, 225)
    low: RGB = (240, 160, 110) if dusk else (222, 232, 240)
    ground = np.broadcast_to(y * area.unit / area.height + 0.5, (area.height, area.width))
    image = Image.fromarray(ramp(ground, [jitter(rng, high, 14), jitter(rng, low, 14)]))
    draw = ImageDraw.Draw(image)
    base = jitter(rng, mix((84, 88, 108), (126, 110, 104), rng.random()), 14)
    for low_reach, high_reach, haze in ((0.72, 0.97, 0.35), (0.48, 0.78, 0.12), (0.16, 0.42, 0.0)):
        left = -rng.random() * 0.1 * area.unit
        while left < area.width:
            width = between(rng, 0.13, 0.24) * area.unit
            top = area.height * (1 - between(rng, low_reach, high_reach))
            tone = mix(jitter(rng, base, 28), high, haze)
            _building(rng, draw, area, (left, top, left + width), mix(tone, BLACK, 0.3 if dusk else 0.0))
            left += width
    return image


def _building(
    rng: np.random.Generator, draw: ImageDraw.ImageDraw, area: Area, box: tuple[float, float, float], tone: RGB
) -> None:
    """Draw one building (left, top, right) down to the ground, with a lattice of windows."""
    left, top, right = box
    draw.rectangle((left, top, right, area.height), fill=tone, outline=mix(tone, BLACK, 0.55))
    columns = int(rng.integers(2, 5))
    step = (right - left) / (columns + 0.4)
    rise = step * between(rng, 1.0, 1.5)
    dark, lit = mix(tone, (20, 30, 50), 0.6), (255, 224, 120)
    glow = between(rng, 0.25, 0.6)
    for y in np.arange(top + 0.4 * rise, area.height, rise):
        for column, shines in enumerate(rng.random(columns) < glow):
            x = left + (column + 0.4) * step
            draw.rectangle((x, y, x + 0.5 * step, y + 0.55 * rise), fill=lit if shines else dark)
