"""Sketches of vehicles and other made things; each draws one of two or three variants."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from semples.data.scenes.palette import RGB, between
from semples.data.scenes.sketch import Sketch, arc

CREAM: RGB = (250, 244, 225)
GLASS: RGB = (176, 218, 240)
STEEL: RGB = (150, 156, 164)
RUBBER: RGB = (40, 40, 44)
TIMBER: RGB = (132, 88, 50)
LAMP: RGB = (255, 226, 120)
ROOFS: tuple[RGB, ...] = ((150, 60, 45), (95, 70, 60), (85, 90, 105), (190, 95, 50))


def _wheel(sketch: Sketch, x: float, y: float, radius: float) -> None:
    sketch.ellipse(x, y, radius, radius, RUBBER)
    sketch.ellipse(x, y, radius * 0.5, radius * 0.5, STEEL, outlined=False)


def boat(rng: np.random.Generator) -> Sketch:
    """Draw a sailing boat, a steamer or a square-rigged boat."""
    sketch = Sketch()
    variant = rng.integers(3)
    if variant == 0:
        _sailing_boat(rng, sketch)
    elif variant == 1:
        _steamer(rng, sketch)
    else:
        sketch.line([(5, 7.5), (5, 0.2)], 0.35, TIMBER)
        sketch.polygon([(2, 1.2), (8, 1.2), (8.4, 3.2), (7.9, 5.4), (2.1, 5.4), (1.7, 3.2)], CREAM)
        sketch.line([(1.9, 3.2), (8.2, 3.2)], 0.3, "shade")
        hull = [(-0.6, 4.6), (0.6, 5.6), (2.5, 6.4), (7.5, 6.4), (9.4, 5.6), (10.6, 4.6), (9, 8.6), (1, 8.6)]
        sketch.polygon(hull, "body")
    return sketch


def _sailing_boat(rng: np.random.Generator, sketch: Sketch) -> None:
    height = between(rng, -1.5, 0.5)
    sketch.line([(4.8, 7), (4.8, height - 0.3)], 0.35, TIMBER)
    sketch.polygon([(5.2, height), (5.2, 6.3), (between(rng, 8.2, 9.6), 6.3)], CREAM)
    sketch.polygon([(4.4, height + 0.8), (4.4, 6.3), (between(rng, 0.5, 1.8), 6.3)], (226, 226, 232))
    sketch.polygon([(0, 7), (10, 7), (8.3, 9.4), (1.7, 9.4)], "body")
    sketch.line([(0.3, 7.4), (9.7, 7.4)], 0.35, "tint")


def _steamer(rng: np.random.Generator, sketch: Sketch) -> None:
    funnel = between(rng, 3.6, 5.4)
    sketch.rectangle(funnel, 0.8, funnel + 1.4, 3.9, "shade")
    sketch.rectangle(funnel, 1.3, funnel + 1.4, 2.1, CREAM, outlined=False)
    sketch.rectangle(2.4, 3.7, 7.6, 6.2, CREAM)
    for x in (2.9, 4.5, 6.1):
        sketch.rectangle(x, 4.3, x + 1, 5.2, (80, 120, 160), outlined=False)
    sketch.polygon([(0, 6), (10.8, 5.4), (9.2, 9.2), (1.3, 9.2)], "body")
    for x in (2.5, 4.5, 6.5):
        sketch.ellipse(x, 7.4, 0.42, 0.42, GLASS)


def train(rng: np.random.Generator) -> Sketch:
    """Draw a steam engine, an express or an engine with a wagon."""
    variant = rng.integers(3)
    if variant == 1:
        return _express(rng)
    engine = _steam_engine(rng)
    if variant == 0:
        return engine
    wagon = Sketch()
    wagon.rectangle(-6.6, 2.9, -0.9, 7, "body")
    wagon.rectangle(-6.9, 2.3, -0.6, 3, "shade")
    for x in (-6, -4.2, -2.4):
        wagon.rectangle(x, 3.7, x + 1.1, 5.1, GLASS)
    wagon.line([(-1, 7.2), (0.4, 7.2)], 0.5, RUBBER)
    for x in (-5.4, -2.2):
        _wheel(wagon, x, 7.7, 0.95)
    return Sketch(wagon.shapes + engine.shapes)


def _steam_engine(rng: np.random.Generator) -> Sketch:
    sketch = Sketch()
    chimney = between(rng, 0.6, 1.6)
    sketch.polygon([(7, 4), (6.6, chimney), (8.6, chimney), (8.2, 4)], RUBBER)
    sketch.ellipse(5.1, 3.6, 0.8, 0.9, "shade")
    sketch.rectangle(0.2, 1.6, 3.2, 7, "body")
    sketch.rectangle(-0.3, 1, 3.7, 1.8, "shade")
    sketch.rectangle(0.9, 2.5, 2.5, 4.1, GLASS)
    sketch.rectangle(3.2, 3.6, 8.8, 6.7, "body")
    sketch.ellipse(8.8, 5.1, 0.55, 1.5, "tint")
    sketch.rectangle(-0.1, 6.6, 9.2, 7.3, RUBBER)
    sketch.polygon([(9, 6.6), (10.6, 8.6), (8.7, 8.6)], STEEL)
    _wheel(sketch, 1.5, 7.4, 1.3)
    for x in (4.4, 6.2, 8):
        _wheel(sketch, x, 7.8, 0.9)
    sketch.line([(1.5, 7.4), (6.2, 7.8)], 0.3, STEEL)
    return sketch


def _express(rng: np.random.Generator) -> Sketch:
    sketch = Sketch()
    nose = between(rng, 9.6, 11.5)
    sketch.line([(3, 3.2), (4.2, 1.9), (3, 1.2), (5.2, 1.2)], 0.22, RUBBER)
    sketch.polygon([(0, 3), (7.8, 3), (9, 3.7), (nose, 6.3), (nose, 7.3), (0, 7.3)], "body")
    sketch.polygon([(7.9, 3.7), (8.6, 3.9), (9.6, 5.1), (7.9, 5.1)], GLASS)
    for x in np.arange(0.5, 7, 1.45):
        sketch.rectangle(x, 3.8, x + 1, 5.1, GLASS)
    sketch.line([(0, 6.1), (nose - 0.2, 6.1)], 0.45, "tint")
    sketch.ellipse(nose - 0.4, 6.7, 0.25, 0.25, LAMP, outlined=False)
    for x in (1.2, 2.8, 6.6, 8.2):
        _wheel(sketch, x, 7.6, 0.7)
    return sketch


def plane(rng: np.random.Generator) -> Sketch:
    """Draw an airliner from the side or from above, or a propeller plane."""
    return (_airliner_side, _airliner_above, _propeller_plane)[rng.integers(3)](rng)


def _airliner_side(rng: np.random.Generator) -> Sketch:
    sketch = Sketch()
    sketch.polygon([(0.2, 4.6), (-0.9, 1.2), (0.7, 1.2), (2.8, 4.3)], "shade")
    sketch.polygon([(5, 4.4), (3.6, 2.2), (4.6, 2.2), (7, 4.4)], "tint")
    sketch.blob([(-1, 4), (9, 3.8), (11, 4.8), (11.2, 5.6), (9.5, 6.2), (2, 6.2), (-0.6, 4.9)], "body")
    for x in np.arange(2, 8.5, 0.9):
        sketch.ellipse(x, 4.7, 0.24, 0.28, GLASS, outlined=False)
    sketch.polygon([(9.4, 4.2), (10.4, 4.6), (9.5, 4.9)], GLASS)
    sweep = between(rng, 0, 1.2)
    sketch.polygon([(4.3, 5.4), (7, 5.4), (3.6 - sweep, 8.8), (2.4 - sweep, 8.8)], "shade")
    sketch.ellipse(4.4, 7.2, 0.9, 0.45, STEEL)
    sketch.polygon([(-0.6, 4.4), (1.2, 4.6), (-0.8, 5.8), (-1.6, 5.8)], "tint")
    return sketch


def _airliner_above(rng: np.random.Generator) -> Sketch:
    sketch = Sketch()
    span, sweep = between(rng, 4.4, 5.4), between(rng, 1.2, 2.8)
    for side in (-1, 1):
        wing = [(side * 0.5, 3.2), (side * span, 3.6 + sweep), (side * span, 4.5 + sweep), (side * 0.5, 5.8)]
        sketch.polygon(wing, "tint")
        sketch.ellipse(side * 2.3, 4.3, 0.4, 0.8, STEEL)
        sketch.polygon([(side * 0.3, 8), (side * 2, 9.3), (side * 2, 9.9), (side * 0.3, 9.4)], "tint")
    sketch.blob([(0, -0.6), (0.9, 0.8), (0.9, 6), (0.3, 10), (-0.3, 10), (-0.9, 6), (-0.9, 0.8)], "body")
    sketch.polygon([(-0.45, 1), (0, 0.6), (0.45, 1), (0.4, 1.4), (-0.4, 1.4)], GLASS)
    return sketch


def _propeller_plane(rng: np.random.Generator) -> Sketch:
    sketch = Sketch()
    sketch.polygon([(0.2, 4.6), (-0.6, 2), (1, 2), (2.4, 4.4)], "shade")
    sketch.line([(5, 3), (5, 6.5)], 0.25, STEEL)
    sketch.line([(7, 3), (7, 6.5)], 0.25, STEEL)
    sketch.blob([(-0.6, 4.2), (5, 3.7), (9, 3.7), (9.3, 5), (9, 6.4), (5, 6.4), (-0.6, 5)], "body")
    sketch.polygon([(4.8, 3.8), (5.3, 2.8), (6.2, 2.8), (6.8, 3.8)], GLASS)
    if rng.integers(2):
        sketch.rectangle(3.8, 1.7, 8, 2.3, "shade")
    sketch.polygon([(3.4, 5.9), (8.4, 5.9), (8, 6.7), (3, 6.7)], "tint")
    sketch.polygon([(-0.7, 4.3), (1.2, 4.3), (1, 4.8), (-1, 4.8)], "tint")
    sketch.ellipse(9.7, 5, 0.25, between(rng, 2, 2.7), STEEL)
    sketch.ellipse(9.5, 5, 0.45, 0.5, RUBBER)
    sketch.line([(7, 6.5), (7.5, 8)], 0.3, STEEL)
    _wheel(sketch, 7.5, 8, 0.65)
    return sketch


def car(rng: np.random.Generator) -> Sketch:
    """Draw a saloon, a small car or a van from the side."""
    sketch = Sketch()
    variant = rng.integers(3)
    if variant == 0:
        sketch.polygon([(2, 4.6), (3.6, 2.2), (6.6, 2.2), (8.2, 4.6)], "body")
        windows = [
            [(2.9, 4.4), (4, 2.8), (5, 2.8), (5, 4.4)],
            [(5.4, 4.4), (5.4, 2.8), (6.3, 2.8), (7.3, 4.4)],
        ]
        outline = [(0, 4.6), (8.4, 4.4), (10.2, 5.1), (10.6, 7.2), (-0.2, 7.2), (-0.3, 5.2)]
    elif variant == 1:
        sketch.blob([(0.6, 5), (1, 2), (4, 1), (7, 1.2), (8.2, 5)], "body")
        windows = [
            [(1.8, 4.4), (2.2, 2.6), (4.2, 2), (4.2, 4.4)],
            [(4.7, 4.4), (4.7, 2), (6.2, 2.2), (7.1, 4.4)],
        ]
        outline = [(0.4, 4.3), (8, 4.3), (9.6, 5.2), (9.9, 7.2), (0.2, 7.2)]
    else:
        sketch.polygon([(0, 5), (0.2, 1.4), (6.8, 1.4), (8.8, 4.7)], "body")
        windows = [[(0.8, 4), (0.8, 2.2), (2.9, 2.2), (2.9, 4)], [(3.5, 4), (3.5, 2.2), (5.4, 2.2), (5.4, 4)]]
        windows.append([(5.9, 4), (5.9, 2.2), (6.5, 2.2), (7.7, 4)])
        outline = [(0, 4.5), (8.8, 4.5), (10.2, 5.3), (10.3, 7.2), (0, 7.2)]
    sketch.polygon(outline, "body")
    for window in windows:
        sketch.polygon(window, GLASS)
    sketch.line([(5.2, 4.6), (5.2, 6.8)], 0.15, "shade")
    sketch.ellipse(9.8, 5.6, 0.32, 0.4, LAMP)
    radius = between(rng, 1.05, 1.35)
    _wheel(sketch, 2.2, 7.2, radius)
    _wheel(sketch, 7.9, 7.2, radius)
    return sketch


def house(rng: np.random.Generator) -> Sketch:
    """Draw a cottage with a gable, a long house or a tall one."""
    sketch = Sketch()
    roof = ROOFS[rng.integers(len(ROOFS))]
    variant = rng.integers(3)
    width = (8.0, 10.5, 6.0)[variant]
    top = (4.6, 5.2, 3.4)[variant]
    chimney = between(rng, 0.58, 0.72) * width
    sketch.rectangle(chimney, between(rng, 0.6, 1.2), chimney + 1, 4.2, (140, 80, 65))
    sketch.rectangle(0, top, width, 10, "body")
    if variant == 1:
        sketch.polygon([(-0.7, top), (1.3, 1.8), (width - 1.3, 1.8), (width + 0.7, top)], roof)
    else:
        sketch.polygon([(-0.9, top + 0.2), (width / 2, between(rng, -0.9, 0.3)), (width + 0.9, top + 0.2)], roof)
    door = between(rng, 0.38, 0.45) * width
    sketch.rectangle(door, 7.2, door + 1.5, 10, TIMBER)
    for x in (0.1 * width, 0.68 * width):
        _window(sketch, x, top + 1)
        if variant == 2:
            _window(sketch, x, top + 3.6)
    return sketch


def _window(sketch: Sketch, x: float, y: float) -> None:
    sketch.rectangle(x, y, x + 1.5, y + 1.6, GLASS)
    sketch.line([(x + 0.75, y), (x + 0.75, y + 1.6)], 0.16, CREAM)
    sketch.line([(x, y + 0.8), (x + 1.5, y + 0.8)], 0.16, CREAM)


def ball(rng: np.random.Generator) -> Sketch:
    """Draw a football, a beach ball or a basketball."""
    sketch = Sketch()
    sketch.ellipse(0, 0, 5, 5, "body")
    turn = between(rng, 0, 360)
    variant = rng.integers(3)
    if variant == 0:
        for angle in turn + np.arange(0, 360, 72):
            x, y = np.cos(np.radians(angle)), np.sin(np.radians(angle))
            sketch.line([(1.6 * x, 1.6 * y), (3.4 * x, 3.4 * y)], 0.28, "shade")
            sketch.polygon(arc(3.9 * x, 3.9 * y, 0.95, 1.35, 0, 360, tilt=angle, count=7), "shade")
        sketch.polygon(arc(0, 0, 1.75, 1.75, turn, turn + 288, count=5), "shade")
    elif variant == 1:
        for angle in turn + np.arange(0, 360, 120):
            rim = arc(0, 0, 4.9, 4.9, angle, angle + 60, count=8)
            sketch.polygon(np.concatenate([[[0.0, 0.0]], rim]), "tint")
        sketch.ellipse(0, 0, 0.8, 0.8, CREAM)
    else:
        for offset, bow in ((0.0, 0.0), (-3.2, 1.6), (3.2, -1.6)):
            seam = np.array([(offset * 1.12, -3.5), (offset - bow * 0.6, 0), (offset * 1.12, 3.5)])
            seam[[0, 2], 1] = (-4.9, 4.9) if offset == 0 else (-3.3, 3.3)
            sketch.line(seam, 0.32, "shade")
        sketch.line([(-4.9, 0), (4.9, 0)], 0.32, "shade")
    sketch.ellipse(-1.9, -2.3, 0.9, 0.55, (255, 255, 255), tilt=-40, outlined=False)
    return sketch


def umbrella(rng: np.random.Generator) -> Sketch:
    """Draw an open umbrella with a hooked or a straight handle."""
    sketch = Sketch()
    height = between(rng, 3.4, 5.2)
    length = between(rng, 4.2, 5.4)
    sketch.line([(0, -height - 0.9), (0, -height + 0.2)], 0.35, RUBBER)
    hook = arc(0.9, length, 0.9, 1, 180, 0, count=8)
    handle = hook if rng.integers(3) else np.array([(0, length - 1), (0, length + 0.6)])
    # A dark rim keeps the pale shaft visible on every context.
    for rim, color in ((0.5, RUBBER), (0.0, CREAM)):
        sketch.line([(0, -height), (0, length)], 0.28 + rim, color)
        sketch.line(handle, 0.45 + rim, color)
    panels = int(rng.integers(4, 6))
    edges = np.linspace(-5, 5, panels + 1)
    scallops = [arc((a + b) / 2, 0, (b - a) / 2, 0.75, 0, -180, count=7) for a, b in pairwise(edges)][::-1]
    dome = arc(0, 0, 5, height, 180, 360, count=20)
    sketch.polygon(np.concatenate([dome, *scallops]), "body")
    for edge in edges[1:-1]:
        rib = np.stack([edge * np.sin(np.linspace(0, np.pi / 2, 6)), -height * np.cos(np.linspace(0, np.pi / 2, 6))], 1)
        sketch.line(rib, 0.2, "shade")
    return sketch


def balloon(rng: np.random.Generator) -> Sketch:
    """Draw a hot-air balloon with a basket, round or long, with or without a band."""
    sketch = Sketch()
    stretch = between(rng, 0.95, 1.3)
    neck = 5.4 * stretch
    for side in (-1, 1):
        sketch.line([(side * 1.1, neck - 0.4), (side * 0.8, neck + 1.8)], 0.18, TIMBER)
    crown = arc(0, 0, 4.4, 4.4 * stretch, 155, 385, count=26)
    sketch.polygon(np.concatenate([crown, [(1.3, neck), (-1.3, neck)]]), "body")
    for bow in (-2.4, 2.4):
        rib = np.stack([bow * np.cos(np.linspace(-1.5, 1.0, 9)), 4.4 * stretch * np.sin(np.linspace(-1.5, 1.0, 9))], 1)
        sketch.line(np.concatenate([rib, [(bow / 5, neck)]]), 0.26, "shade")
    if rng.integers(2):
        sketch.polygon([(-4.3, -0.8), (4.3, -0.8), (4.3, 0.8), (-4.3, 0.8)], "tint")
    else:
        sketch.line([(0, -4.4 * stretch), (0, neck)], 0.26, "shade")
    sketch.rectangle(-1.2, neck + 1.6, 1.2, neck + 3.4, TIMBER)
    sketch.line([(-1.3, neck + 1.7), (1.3, neck + 1.7)], 0.4, (92, 58, 30))
    return sketch
