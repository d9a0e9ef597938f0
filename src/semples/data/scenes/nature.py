"""Paints natural contexts. Each fills the area with an RGB texture of random hue, scale and phase."""

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
    scatter,
    speckle,
    stencil,
    vertical_gradient,
    waves,
    whole_and_fraction,
)


def _disc(x: float, y: float, radius: float) -> tuple[float, float, float, float]:
    return x - radius, y - radius, x + radius, y + radius


def water(rng: np.random.Generator, area: Area) -> Image.Image:
    """Paint blue to teal waves with light crests."""
    x, y = grid(area)
    warp = noise(rng, area, 0.16, 0.12)
    phase = between(rng, 5, 11) * y + between(rng, -1, 1) * x + between(rng, 1, 1.6) * warp + rng.random()
    deep = jitter(rng, mix((8, 50, 140), (0, 98, 118), rng.random()), 22)
    tones = [deep, mix(deep, (60, 170, 220), 0.55), mix(deep, (170, 230, 240), 0.8)]
    image = ramp(0.42 + 0.32 * waves(phase) + 0.4 * (warp - 0.5), tones)
    draw = ImageDraw.Draw(image)
    foam, width = mix(deep, WHITE, 0.85), area.pixels(0.008)
    for left, top in scatter(rng, area, between(rng, 14, 26)):
        span = between(rng, 0.02, 0.05) * area.unit
        heights = (0, -span / 3, 0, -span / 4)
        crest = [(left + step * span / 2, top + height) for step, height in enumerate(heights)]
        draw.line(crest, fill=foam, width=width)
    return image


def sky(rng: np.random.Generator, area: Area) -> Image.Image:
    """Paint a blue gradient with white clouds."""
    top = jitter(rng, mix((40, 110, 215), (95, 170, 240), rng.random()), 15)
    image = ramp(vertical_gradient(area), [top, mix(top, (225, 240, 252), between(rng, 0.4, 0.8))])
    size = between(rng, 0.2, 0.42)
    puffs = 0.62 * noise(rng, area, size, size * 0.55) + 0.38 * noise(rng, area, size / 3, size / 4.5)
    clouds = ramp(puffs * 3 - 1.3, [mix((205, 214, 228), WHITE, rng.random()), WHITE])
    image.paste(clouds, mask=stencil((puffs - between(rng, 0.48, 0.58)) * 7))
    return image


def grass(rng: np.random.Generator, area: Area) -> Image.Image:
    """Paint green ground with many blades."""
    base = jitter(rng, mix((46, 128, 34), (112, 170, 46), rng.random()), 20)
    patches = 0.7 * noise(rng, area, between(rng, 0.15, 0.4)) + 0.3 * speckle(rng, area)
    image = ramp(patches, [mix(base, (10, 50, 10), 0.55), base])
    draw = ImageDraw.Draw(image)
    tones = [mix(base, (8, 60, 12), 0.5), mix(base, (170, 220, 70), 0.35), mix(base, (200, 235, 90), 0.55)]
    length, width = between(rng, 0.06, 0.15) * area.unit, area.pixels(0.01)
    roots = sorted(scatter(rng, area, between(rng, 170, 260)), key=lambda root: root[1])
    tips = (rng.uniform((-0.6, 0.1), (0.6, 0.9), (len(roots), 2)) * length).tolist()
    for index, ((x, y), (lean, drop)) in enumerate(zip(roots, tips, strict=True)):
        draw.line((x, y + drop, x + lean, y - 0.4 * length), fill=tones[index % 3], width=width)
    return image


def snow(rng: np.random.Generator, area: Area) -> Image.Image:
    """Paint white to bluish drifts with falling flakes."""
    x, y = grid(area)
    slopes = between(rng, 2, 4.5) * (y + between(rng, -0.25, 0.25) * x)
    _, drift = whole_and_fraction(slopes + between(rng, 0.6, 1.2) * noise(rng, area, 0.45, 0.3) + rng.random())
    shadow = jitter(rng, mix((160, 186, 224), (196, 212, 236), rng.random()), 8)
    values = drift ** between(rng, 1.5, 3) + 0.12 * speckle(rng, area) - 0.06
    image = ramp(values, [(250, 252, 255), (238, 244, 252), shadow])
    draw = ImageDraw.Draw(image)
    rim = mix(shadow, (130, 160, 205), 0.5)
    for left, top in scatter(rng, area, between(rng, 30, 60)):
        draw.ellipse(_disc(left, top, between(rng, 0.007, 0.016) * area.unit), fill=WHITE, outline=rim)
    return image


def sand(rng: np.random.Generator, area: Area) -> Image.Image:
    """Paint yellowish ripples and grains."""
    x, y = grid(area)
    warp = noise(rng, area, between(rng, 0.25, 0.4))
    phase = between(rng, 5, 11) * (y + between(rng, -0.5, 0.5) * x) + between(rng, 1, 2) * warp
    base = jitter(rng, mix((218, 178, 106), (242, 216, 156), rng.random()), 12)
    tones = [mix(base, (150, 105, 50), 0.55), base, mix(base, (255, 246, 214), 0.6)]
    grains = speckle(rng, area) - 0.5
    return ramp(0.5 + between(rng, 0.12, 0.2) * waves(phase) + 0.25 * (warp - 0.5) + 0.42 * grains, tones)


def night(rng: np.random.Generator, area: Area) -> Image.Image:
    """Paint a dark blue sky with stars and sometimes a moon."""
    dark = jitter(rng, mix((6, 8, 30), (20, 16, 52), rng.random()), 6)
    glow = mix(dark, (50, 60, 130), between(rng, 0.3, 0.8))
    image = ramp(vertical_gradient(area) + 0.5 * (noise(rng, area, 0.4) - 0.5), [dark, glow])
    draw = ImageDraw.Draw(image)
    for left, top in scatter(rng, area, between(rng, 40, 75)):
        tone = mix((255, 244, 200), (215, 228, 255), rng.random())
        draw.ellipse(_disc(left, top, between(rng, 0.004, 0.011) * area.unit), fill=tone)
    for left, top in scatter(rng, area, 5):
        reach, width = between(rng, 0.018, 0.03) * area.unit, area.pixels(0.006)
        draw.line((left - reach, top, left + reach, top), fill=WHITE, width=width)
        draw.line((left, top - reach, left, top + reach), fill=WHITE, width=width)
    if rng.random() < 0.4:
        _moon(rng, draw, area, mix(dark, glow, 0.2))
    return image


def _moon(rng: np.random.Generator, draw: ImageDraw.ImageDraw, area: Area, shadow: RGB) -> None:
    radius = between(rng, 0.05, 0.08) * area.unit
    x, y = between(rng, 0.1, 0.9) * area.width, between(rng, 0.08, 0.3) * area.height
    draw.ellipse(_disc(x, y, radius), fill=(248, 240, 205))
    draw.ellipse(_disc(x + between(rng, 0.5, 1.1) * radius, y - 0.1 * radius, radius), fill=shadow)


def forest(rng: np.random.Generator, area: Area) -> Image.Image:
    """Paint trunks, brown or birch-white, in front of dark foliage."""
    foliage = jitter(rng, mix((12, 54, 26), (52, 84, 24), rng.random()), 12)
    values = 0.6 * noise(rng, area, 0.08) + 0.5 * noise(rng, area, 0.3) - 0.05
    image = ramp(values, [mix(foliage, BLACK, 0.6), foliage, mix(foliage, (100, 150, 50), 0.6)])
    draw = ImageDraw.Draw(image)
    brown = mix((88, 58, 36), (126, 102, 82), rng.random())
    bark = jitter(rng, (186, 182, 170) if rng.random() < 0.2 else brown, 14)
    spacing = between(rng, 0.11, 0.22) * area.unit
    for left in np.arange(-rng.random() * spacing, area.width, spacing).tolist():
        width = between(rng, 0.22, 0.48) * spacing
        _trunk(rng, draw, area, left + between(rng, -0.25, 0.25) * spacing, width, jitter(rng, bark, 16))
    for x, y in scatter(rng, area, between(rng, 60, 110)):
        size = between(rng, 0.012, 0.034) * area.unit
        leaf = mix(foliage, (120, 175, 60), between(rng, 0, 0.75))
        y *= rng.random()
        draw.polygon((x, y - size, x + size, y, x, y + size, x - size, y), fill=leaf)
    return image


def _trunk(
    rng: np.random.Generator, draw: ImageDraw.ImageDraw, area: Area, left: float, width: float, bark: RGB
) -> None:
    lean = between(rng, -0.05, 0.05) * area.unit
    bottom, top_left = area.height, left + lean
    draw.polygon((top_left, 0, top_left + 0.8 * width, 0, left + width, bottom, left, bottom), fill=bark)
    shaded, edge = mix(bark, (20, 14, 8), 0.45), 0.65 * width
    draw.polygon(
        (top_left + edge * 0.8, 0, top_left + 0.8 * width, 0, left + width, bottom, left + edge, bottom),
        fill=shaded,
    )
    scar = mix(bark, (20, 14, 8), 0.7)
    for y in np.arange(rng.random() * 0.1, area.height / area.unit, 0.11).tolist():
        row = y * area.unit
        start = top_left - lean * row / bottom + between(rng, 0.05, 0.3) * width
        draw.line((start, row, start + 0.4 * width, row + 1), fill=scar, width=area.pixels(0.008))


def rocks(rng: np.random.Generator, area: Area) -> Image.Image:
    """Paint gray to brown polygonal stones lying close together."""
    base = jitter(rng, mix((128, 128, 130), (146, 124, 98), rng.random()), 18)
    image = ramp(speckle(rng, area), [mix(base, BLACK, 0.8), mix(base, BLACK, 0.65)])
    draw = ImageDraw.Draw(image)
    side = between(rng, 0.12, 0.22) * area.unit
    rows, columns = int(area.height / side) + 2, int(area.width / side) + 3
    row, column = np.divmod(np.arange(rows * columns), columns)
    centers = np.stack([column - 0.5 + 0.5 * (row % 2), row], axis=1) + rng.uniform(-0.12, 0.12, (len(row), 2))
    corners = rng.integers(5, 8, len(row))
    angles = rng.uniform(-0.3, 0.3, (len(row), 7)) + np.arange(7) * (2 * np.pi / corners[:, None])
    reach = rng.uniform(0.5, 0.62, (len(row), 7))
    spokes = reach[..., None] * np.stack([np.cos(angles), np.sin(angles)], axis=2) * side
    for center, spoke, count in zip(centers * side, spokes, corners, strict=True):
        tone = mix(base, WHITE if rng.random() < 0.5 else (30, 22, 14), between(rng, 0, 0.28))
        _stone(draw, center, spoke[:count], tone)
    image.paste(mix(base, (40, 36, 32), 0.7), mask=stencil(0.28 * speckle(rng, area)))
    return image


def _stone(draw: ImageDraw.ImageDraw, center: FloatArray, spokes: FloatArray, tone: RGB) -> None:
    side = float(np.abs(spokes).max())
    dark, darker = mix(tone, BLACK, 0.32), mix(tone, BLACK, 0.75)
    draw.polygon((center + spokes).ravel().tolist(), fill=dark, outline=darker)
    draw.polygon((center - 0.1 * side + 0.74 * spokes).ravel().tolist(), fill=tone)
    draw.polygon((center - 0.17 * side + 0.4 * spokes).ravel().tolist(), fill=mix(tone, WHITE, 0.22))
