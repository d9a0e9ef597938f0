"""Contexts found outdoors. Each fills the whole area with an RGB texture of random hue, scale and phase."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from semples.data.scenes.palette import RGB, WHITE, between, jitter, mix
from semples.data.scenes.texture import Area, grid, noise, ramp, speckle


def _share(area: Area) -> float:
    return area.width * area.height / area.unit**2


def water(rng: np.random.Generator, area: Area) -> Image.Image:
    """Paint blue to teal waves with light crests."""
    x, y = grid(area)
    frequency, slope = between(rng, 6, 11), between(rng, -1, 1)
    warp = noise(rng, area, (0.16, 0.12))
    waves = np.sin(2 * np.pi * (frequency * y + slope * x + between(rng, 1, 1.6) * warp + rng.random()))
    deep = mix((8, 50, 140), (0, 98, 118), rng.random())
    deep = jitter(rng, deep, 22)
    tones = [deep, mix(deep, (60, 170, 220), 0.55), mix(deep, (170, 230, 240), 0.8)]
    image = Image.fromarray(ramp(0.42 + 0.32 * waves + 0.4 * (warp - 0.5), tones))
    draw = ImageDraw.Draw(image)
    for _ in range(round(between(rng, 14, 26) * _share(area))):
        left, top, span = rng.random() * area.width, rng.random() * area.height, between(rng, 0.03, 0.08) * area.unit
        crest = [(left, top), (left + span / 2, top - span / 4), (left + span, top), (left + 1.5 * span, top - span / 5)]
        draw.line(crest, fill=mix(deep, WHITE, 0.85), width=area.pixels(0.008))
    return image


def sky(rng: np.random.Generator, area: Area) -> Image.Image:
    """Paint a blue gradient with white clouds."""
    _, y = grid(area)
    height = y * area.unit / area.height + 0.5
    top = jitter(rng, mix((40, 110, 215), (95, 170, 240), rng.random()), 15)
    horizon = mix(top, (225, 240, 252), between(rng, 0.45, 0.8))
    image = Image.fromarray(ramp(np.broadcast_to(height, (area.height, area.width)), [top, horizon]))
    size = between(rng, 0.22, 0.4)
    puffs = 0.62 * noise(rng, area, (size, size * 0.55)) + 0.38 * noise(rng, area, (size / 3, size / 4.5))
    cover = np.clip((puffs - between(rng, 0.48, 0.58)) * 7, 0, 0.95) * 255
    shade = mix((205, 214, 228), WHITE, rng.random())
    clouds = ramp(puffs * 3 - 1.3, [shade, WHITE])
    image.paste(Image.fromarray(clouds), mask=Image.fromarray(cover.astype(np.uint8)))
    return image


def grass(rng: np.random.Generator, area: Area) -> Image.Image:
    """Paint green ground with many blades."""
    base = jitter(rng, mix((46, 128, 34), (104, 168, 46), rng.random()), 18)
    patches = 0.7 * noise(rng, area, between(rng, 0.15, 0.4)) + 0.3 * speckle(rng, area)
    image = Image.fromarray(ramp(patches, [mix(base, (10, 50, 10), 0.55), base]))
    draw = ImageDraw.Draw(image)
    tones = [mix(base, (8, 60, 12), 0.5), mix(base, (170, 220, 70), 0.35), mix(base, (200, 235, 90), 0.55)]
    count = round(between(rng, 170, 260) * _share(area))
    roots = rng.random((count, 2)) * (area.width, area.height * 1.1)
    length = between(rng, 0.07, 0.13) * area.unit
    leans = rng.uniform(-0.6, 0.6, count) * length
    heights = rng.uniform(0.5, 1, count) * length
    for index in np.argsort(roots[:, 1]):
        (root_x, root_y), lean, height = roots[index], leans[index], heights[index]
        draw.line([(root_x, root_y), (root_x + lean, root_y - height)], fill=tones[index % 3], width=area.pixels(0.01))
    return image


def snow(rng: np.random.Generator, area: Area) -> Image.Image:
    """Paint white to bluish drifts with falling flakes."""
    x, y = grid(area)
    warp = noise(rng, area, (0.45, 0.3))
    drifts = between(rng, 2.5, 4.5) * (y + between(rng, -0.25, 0.25) * x) + between(rng, 0.6, 1.2) * warp + rng.random()
    shade = (drifts - np.floor(drifts)) ** between(rng, 1.5, 3)
    shadow = jitter(rng, mix((165, 190, 225), (196, 212, 236), rng.random()), 8)
    image = Image.fromarray(ramp(shade + 0.12 * speckle(rng, area) - 0.06, [(250, 252, 255), (238, 244, 252), shadow]))
    draw = ImageDraw.Draw(image)
    for _ in range(round(between(rng, 30, 60) * _share(area))):
        left, top, radius = rng.random() * area.width, rng.random() * area.height, between(rng, 0.007, 0.016) * area.unit
        box = (left - radius, top - radius, left + radius, top + radius)
        draw.ellipse(box, fill=WHITE, outline=mix(shadow, (130, 160, 205), 0.5))
    return image


def sand(rng: np.random.Generator, area: Area) -> Image.Image:
    """Paint yellowish ripples and grains."""
    x, y = grid(area)
    warp = noise(rng, area, between(rng, 0.25, 0.4))
    frequency, slope = between(rng, 6, 11), between(rng, -0.5, 0.5)
    ripples = np.sin(2 * np.pi * (frequency * (y + slope * x) + between(rng, 1, 2) * warp))
    base = jitter(rng, mix((222, 186, 112), (240, 212, 150), rng.random()), 12)
    tones = [mix(base, (150, 105, 50), 0.55), base, mix(base, (255, 246, 214), 0.6)]
    values = 0.5 + 0.17 * ripples + 0.25 * (warp - 0.5) + 0.42 * (speckle(rng, area) - 0.5)
    return Image.fromarray(ramp(values, tones))


def night(rng: np.random.Generator, area: Area) -> Image.Image:
    """Paint a dark blue sky with stars and sometimes a moon."""
    _, y = grid(area)
    dark = jitter(rng, mix((6, 8, 30), (20, 16, 52), rng.random()), 6)
    glow = mix(dark, (50, 60, 130), between(rng, 0.3, 0.8))
    haze = y * area.unit / area.height + 0.5 + 0.5 * (noise(rng, area, 0.4) - 0.5)
    image = Image.fromarray(ramp(haze, [dark, glow]))
    draw = ImageDraw.Draw(image)
    for _ in range(round(between(rng, 40, 75) * _share(area))):
        left, top = rng.random() * area.width, rng.random() * area.height
        radius = between(rng, 0.004, 0.011) * area.unit
        tone = mix((255, 244, 200), (215, 228, 255), rng.random())
        draw.ellipse((left - radius, top - radius, left + radius, top + radius), fill=tone)
    for _ in range(round(5 * _share(area))):
        left, top, reach = rng.random() * area.width, rng.random() * area.height, between(rng, 0.018, 0.03) * area.unit
        draw.line([(left - reach, top), (left + reach, top)], fill=WHITE, width=area.pixels(0.006))
        draw.line([(left, top - reach), (left, top + reach)], fill=WHITE, width=area.pixels(0.006))
    if rng.random() < 0.4:
        _moon(rng, draw, area, mix(dark, glow, 0.2))
    return image


def _moon(rng: np.random.Generator, draw: ImageDraw.ImageDraw, area: Area, shadow: RGB) -> None:
    radius = between(rng, 0.05, 0.08) * area.unit
    x, y = between(rng, 0.1, 0.9) * area.width, between(rng, 0.08, 0.3) * area.height
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(248, 240, 205))
    phase = between(rng, 0.5, 1.1) * radius
    draw.ellipse((x - radius + phase, y - radius * 1.05, x + radius + phase, y + radius * 0.85), fill=shadow)


def forest(rng: np.random.Generator, area: Area) -> Image.Image:
    """Paint trunks in front of dark foliage."""
    foliage = jitter(rng, mix((14, 52, 24), (34, 72, 26), rng.random()), 10)
    values = 0.6 * noise(rng, area, 0.08) + 0.5 * noise(rng, area, 0.3) - 0.05
    image = Image.fromarray(ramp(values, [mix(foliage, (0, 0, 0), 0.6), foliage, mix(foliage, (90, 140, 50), 0.6)]))
    draw = ImageDraw.Draw(image)
    bark = jitter(rng, mix((92, 64, 42), (120, 98, 78), rng.random()), 14)
    spacing = between(rng, 0.11, 0.17) * area.unit
    for left in np.arange(-rng.random() * spacing, area.width, spacing):
        _trunk(rng, draw, area, left + between(rng, -0.3, 0.3) * spacing, jitter(rng, bark, 18))
    for _ in range(round(between(rng, 50, 90) * _share(area))):
        x, y, size = rng.random() * area.width, rng.random() ** 1.6 * area.height, between(rng, 0.012, 0.03) * area.unit
        tone = mix(foliage, (110, 165, 60), between(rng, 0, 0.75))
        draw.polygon([(x, y - size), (x + size, y), (x, y + size), (x - size, y)], fill=tone)
    return image


def _trunk(rng: np.random.Generator, draw: ImageDraw.ImageDraw, area: Area, left: float, bark: RGB) -> None:
    width = between(rng, 0.028, 0.065) * area.unit
    lean = between(rng, -0.05, 0.05) * area.unit
    corners = [(left + lean, 0), (left + lean + width * 0.8, 0), (left + width, area.height), (left, area.height)]
    draw.polygon(corners, fill=bark)
    lit = [(left + lean + width * 0.55, 0), corners[1], corners[2], (left + width * 0.65, area.height)]
    draw.polygon(lit, fill=mix(bark, (20, 14, 8), 0.45))
    for y in np.arange(rng.random() * 0.1, area.height / area.unit, 0.11) * area.unit:
        reach = width * 0.45
        draw.line([(left + lean / 2 + 0.1 * width, y), (left + lean / 2 + reach, y + 2)], fill=mix(bark, (20, 14, 8), 0.6))


def rocks(rng: np.random.Generator, area: Area) -> Image.Image:
    """Paint grey to brown polygonal stones lying close together."""
    base = jitter(rng, mix((128, 128, 130), (140, 122, 100), rng.random()), 16)
    image = Image.fromarray(ramp(speckle(rng, area), [mix(base, (0, 0, 0), 0.8), mix(base, (0, 0, 0), 0.65)]))
    draw = ImageDraw.Draw(image)
    side = between(rng, 0.12, 0.2) * area.unit
    rows, columns = int(area.height / side) + 2, int(area.width / side) + 3
    for row in range(rows):
        for column in range(columns):
            centre = np.array([column - 0.5 + 0.5 * (row % 2), row]) * side
            _stone(rng, draw, centre + rng.uniform(-0.12, 0.12, 2) * side, side, jitter(rng, base, 30))
    grains = Image.fromarray((70 * speckle(rng, area)).astype(np.uint8))
    image.paste(mix(base, (40, 36, 32), 0.7), mask=grains)
    return image


def _stone(
    rng: np.random.Generator, draw: ImageDraw.ImageDraw, centre: np.ndarray, side: float, tone: RGB
) -> None:
    count = int(rng.integers(5, 8))
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False) + rng.uniform(-0.3, 0.3, count)
    reach = rng.uniform(0.5, 0.62, (count, 1)) * side
    outline = centre + reach * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    draw.polygon(outline.ravel().tolist(), fill=mix(tone, (0, 0, 0), 0.32), outline=mix(tone, (0, 0, 0), 0.75))
    lit = centre + 0.74 * (outline - centre) - 0.06 * side
    draw.polygon(lit.ravel().tolist(), fill=tone)
    draw.polygon((centre + 0.4 * (outline - centre) - 0.1 * side).ravel().tolist(), fill=mix(tone, WHITE, 0.22))
