"""Sketches of animals and plants; each draws one of two or three variants."""

from __future__ import annotations

import numpy as np

from semples.data.scenes.palette import RGB, between
from semples.data.scenes.sketch import Sketch, arc

WHITE: RGB = (255, 255, 255)
PUPIL: RGB = (20, 20, 24)
BEAK: RGB = (248, 172, 40)
ROSE: RGB = (240, 150, 160)
STALK: RGB = (58, 140, 52)
LEAF: RGB = (88, 172, 70)
FLESH: RGB = (246, 234, 208)
FACES: tuple[RGB, ...] = ((52, 46, 46), (84, 66, 56), (232, 208, 182))


def _eye(sketch: Sketch, x: float, y: float, radius: float) -> None:
    sketch.ellipse(x, y, radius, radius, WHITE, outlined=False)
    sketch.ellipse(x, y, radius * 0.6, radius * 0.6, PUPIL, outlined=False)


def bird(rng: np.random.Generator) -> Sketch:
    """Draw a perched, a flying or a long-legged bird."""
    return (_perched_bird, _flying_bird, _wading_bird)[rng.integers(3)](rng)


def _perched_bird(rng: np.random.Generator) -> Sketch:
    sketch = Sketch()
    for x in (4.4, 5.4):
        sketch.line([(x, 7), (x, 9), (x + 0.8, 9)], 0.25, BEAK)
    tail = between(rng, -0.8, 0.8)
    sketch.polygon([(2.6, 5), (-0.8, 5.6 + tail), (-0.4, 6.9 + tail), (3.2, 6.8)], "shade")
    sketch.polygon([(8.8, 2.6), (10.5, 3.3), (8.8, 3.9)], BEAK)
    sketch.blob([(1.5, 6), (3.5, 3.8), (6, 1.2), (8.4, 1.2), (9.6, 3.2), (8.4, 5), (7.6, 7.4), (4.4, 8.4)], "body")
    sketch.blob([(2, 6.4), (4, 4.2), (6.8, 4.2), (6.6, 6.6), (4.6, 7.2)], "shade")
    _eye(sketch, 7.9, 2.8, 0.5)
    return sketch


def _flying_bird(rng: np.random.Generator) -> Sketch:
    sketch = Sketch()
    lift = between(rng, -0.8, 1.2)
    sketch.polygon([(5.2, 5), (6.4, 0.6 - lift), (8.3, 0.4 - lift), (7, 5)], "tint")
    sketch.polygon([(1.8, 5), (-1.2, 4.4), (-0.9, 5.4), (-1.4, 6.4), (2, 6.3)], "shade")
    sketch.polygon([(10, 4.3), (11.6, 5), (10, 5.4)], BEAK)
    sketch.blob([(0.8, 5.6), (4, 4.2), (7, 4.2), (9, 3), (10.6, 4), (10.3, 6), (7.5, 7), (3.6, 7)], "body")
    sketch.blob([(3, 5.2), (1.6, 1.4 - lift), (2.2, -0.8 - lift), (4, -0.4 - lift), (6, 2.4), (6.8, 5.4)], "shade")
    _eye(sketch, 9.5, 4.4, 0.42)
    return sketch


def _wading_bird(rng: np.random.Generator) -> Sketch:
    sketch = Sketch()
    for x, foot in ((3.6, 3), (4.8, 5.2)):
        sketch.line([(x, 6), (foot, 9.8), (foot + 0.9, 9.8)], 0.3, BEAK)
    sketch.polygon([(1.4, 4.4), (-0.8, 5.6), (1.6, 6.3)], "shade")
    reach = between(rng, 7, 7.8)
    sketch.polygon([(reach + 0.6, -0.6), (reach + 2.8, 0.5), (reach + 0.5, 0.6)], BEAK)
    sketch.blob(
        [
            (5.2, 5),
            (6.6, 3),
            (6, 1),
            (6.4, -1.2),
            (reach + 0.9, -1.2),
            (reach + 1, 0.9),
            (7.3, 1.2),
            (8, 3.4),
            (6.4, 6.4),
        ],
        "body",
    )
    sketch.ellipse(3.9, 5.1, 3, 1.9, "body", tilt=-10)
    sketch.blob([(0.8, 5.6), (3, 4), (5.4, 4.4), (4.4, 6.2), (2, 6.6)], "shade")
    _eye(sketch, reach, -0.2, 0.42)
    return sketch


def cat(rng: np.random.Generator) -> Sketch:
    """Draw a sitting or a walking cat."""
    if rng.integers(2):
        return Sketch(_sitting_cat(rng).shapes + _cat_head().shapes)
    return Sketch(_walking_cat(rng).shapes + _cat_head().shifted(4.4, 1.2, 0.85).shapes)


def _sitting_cat(rng: np.random.Generator) -> Sketch:
    sketch = Sketch()
    curl = between(rng, 3.6, 5)
    tail = [
        (1.2, 7.9),
        (3, 8),
        (curl - 0.4, 6.8),
        (curl, 5),
        (curl - 0.5, 4),
        (curl + 0.6, 3.9),
        (curl + 1, 5.6),
    ]
    sketch.blob([*tail, (curl + 0.2, 7.8), (3.4, 9.2), (1.2, 9.2)], "body")
    sketch.blob([(-1.6, 1), (1.6, 1), (2.6, 4.5), (3.3, 7), (2.9, 9.3), (-2.9, 9.3), (-3.3, 7), (-2.6, 4.5)], "body")
    for x in (-1.1, 1.1):
        sketch.ellipse(x, 8.7, 0.95, 0.6, "tint")
    sketch.line([(0, 5.6), (0, 8.6)], 0.18, "shade")
    return sketch


def _walking_cat(rng: np.random.Generator) -> Sketch:
    sketch = Sketch()
    tip = between(rng, -8.2, -6)
    tail = [(-4.2, 3.2), (-5.6, 1.4), (tip, -1), (tip + 1, -1.4), (-4.8, 0.6), (-3.2, 2.4)]
    sketch.blob(tail, "body")
    stride = between(rng, 0, 0.8)
    for x, lean in ((-3.6, -stride), (-2.3, stride), (2.2, -stride), (3.4, stride)):
        sketch.polygon([(x - 0.6, 4), (x + 0.7, 4), (x + 0.5 + lean, 8), (x - 0.5 + lean, 8)], "body")
    sketch.blob([(-5.2, 2.6), (-3, 1.6), (2.5, 1.8), (5, 1.4), (5, 4.6), (3.4, 5.6), (-3.6, 5.6), (-5.2, 4.6)], "body")
    return sketch


def _cat_head() -> Sketch:
    sketch = Sketch()
    for side in (-1, 1):
        sketch.polygon([(side * 2.5, -0.6), (side * 2.45, -4.1), (side * 0.5, -2.2)], "body")
        sketch.polygon([(side * 2.1, -1.4), (side * 2.1, -3.2), (side * 1.1, -2.1)], ROSE, outlined=False)
    sketch.ellipse(0, 0, 2.7, 2.3, "body")
    for side in (-1, 1):
        sketch.ellipse(side * 1.1, -0.4, 0.6, 0.6, (190, 225, 90))
        sketch.ellipse(side * 1.1, -0.4, 0.2, 0.55, PUPIL, outlined=False)
        for drop in (0.5, 1.0):
            sketch.line([(side * 0.7, 0.8), (side * 3.3, drop)], 0.13, "shade")
    sketch.polygon([(-0.4, 0.5), (0.4, 0.5), (0, 1)], ROSE)
    sketch.line([(-0.6, 1.5), (0, 1.1), (0.6, 1.5)], 0.16, "shade")
    return sketch


def fish(rng: np.random.Generator) -> Sketch:
    """Draw a round, a slender or a tall fish."""
    sketch = Sketch()
    variant = rng.integers(3)
    depth = (2.7, 1.8, 3.3)[variant] * between(rng, 0.9, 1.1)
    length = (4.4, 5.4, 3.7)[variant]
    fork = (0.5, 1.4, 0.8)[variant]
    spread = (2.4, 2, 2.2)[variant] * between(rng, 0.85, 1.15)
    tail = -length - 2.4
    sketch.polygon([(-length + 0.9, 0), (tail, -spread), (tail + fork, 0), (tail, spread)], "shade")
    rise = depth * (1.6 if variant == 2 else 1.35)
    sketch.polygon([(1.6, -depth * 0.8), (-0.8, -rise), (-2.6, -rise * 0.95), (-2.2, -depth * 0.5)], "tint")
    sketch.polygon([(0.8, depth * 0.8), (-1.2, rise), (-2.4, rise * 0.95), (-2, depth * 0.5)], "tint")
    upper = arc(0, 0, length, depth, 180, 360, count=14)
    lower = arc(0, 0, length, depth, 0, 180, count=14)
    sketch.polygon(np.concatenate([upper, lower]), "body")
    sketch.line(arc(length * 0.25, 0, 0.9, depth * 0.75, -65, 65, count=8), 0.24, "shade")
    sketch.polygon([(0.2, 0.3), (-1.6, -0.5), (-1.5, 1.4)], "shade")
    _eye(sketch, length * 0.66, -depth * 0.22, 0.58)
    sketch.line([(length * 0.8, depth * 0.42), (length * 0.95, depth * 0.22)], 0.24, "shade")
    return sketch


def sheep(rng: np.random.Generator) -> Sketch:
    """Draw a standing or a grazing sheep, with a dark or a light face."""
    sketch = Sketch()
    face = FACES[rng.integers(len(FACES))]
    for x in (-2.6, -1.4, 1.4, 2.6):
        sketch.rectangle(x - 0.35, 2, x + 0.35, 5.4, face)
    sketch.polygon(_fleece(0, 0, 4.4, 3.1, int(rng.integers(10, 14))), "body")
    for x, y in ((-1.8, -0.8), (0.6, -1.2), (-0.4, 0.8), (-2.2, 1.1), (1.6, 0.9)):
        sketch.line(arc(x, y, 0.7, 0.6, 20, 200, count=7), 0.2, "shade")
    grazing = rng.integers(3) == 0
    x, y, tilt = (5.2, 2.2, 62.0) if grazing else (5.1, -1.6, 35.0)
    sketch.ellipse(x - 1.2, y - 0.9, 1.1, 0.5, face, tilt=tilt - 60)
    sketch.ellipse(x, y, 1.9, 1.25, face, tilt=tilt)
    sketch.ellipse(x + 0.5, y - 1.1, 1.0, 0.45, face, tilt=tilt - 80)
    sketch.polygon(_fleece(x - 0.7, y - 1.2, 1.15, 0.9, 7), "tint")
    _eye(sketch, x + 0.3, y - 0.1, 0.36)
    return sketch


def _fleece(x: float, y: float, rx: float, ry: float, bumps: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    angles = np.linspace(0, 2 * np.pi, bumps * 6, endpoint=False)
    radius = 0.9 + 0.14 * np.abs(np.sin(angles * bumps / 2))
    return np.stack([x + rx * radius * np.cos(angles), y + ry * radius * np.sin(angles)], axis=1)


def flower(rng: np.random.Generator) -> Sketch:
    """Draw a daisy, a tulip or a flower with five round petals."""
    sketch = Sketch()
    bend = between(rng, -1, 1)
    sketch.line([(0, 0), (bend * 0.7, 4), (bend, 9)], 0.55, STALK)
    for side in (-1, 1):
        tip = between(rng, 4.2, 6.4)
        sketch.blob([(bend, 8.4), (side * 1.6, tip - 0.6), (side * 3.6, tip - 0.4), (side * 2.4, tip + 1.8)], LEAF)
    variant = rng.integers(3)
    if variant == 1:
        sketch.blob(
            [
                (-2.6, -3.6),
                (-2.9, 0.4),
                (-1.4, 2.6),
                (1.4, 2.6),
                (2.9, 0.4),
                (2.6, -3.6),
                (1.2, -1.6),
                (0, -4.6),
                (-1.2, -1.6),
            ],
            "body",
        )
        sketch.line([(-0.9, -1.4), (-0.5, 1.8)], 0.22, "shade")
        sketch.line([(0.9, -1.4), (0.5, 1.8)], 0.22, "shade")
        return sketch
    count = int(rng.integers(8, 12)) if variant == 0 else 5
    reach, breadth = (2.4, 0.85) if variant == 0 else (2.1, 1.45)
    turn = between(rng, 0, 360)
    for angle in turn + np.arange(count) * 360 / count:
        x, y = reach * np.cos(np.radians(angle)), reach * np.sin(np.radians(angle))
        sketch.ellipse(x, y, 1.65, breadth, "body", tilt=angle)
    radius = between(rng, 1.1, 1.6)
    center = ((248, 200, 50), (120, 74, 36), (250, 226, 140))[rng.integers(3)]
    sketch.ellipse(0, 0, radius, radius, center)
    return sketch


def mushroom(rng: np.random.Generator) -> Sketch:
    """Draw a mushroom with a round, a flat or a pointed cap, sometimes with a small one beside it."""
    sketch = _single_mushroom(rng)
    if rng.integers(3) == 0:
        small = _single_mushroom(rng).shifted(between(rng, 3, 3.6), 2.4, 0.5)
        return Sketch(sketch.shapes + small.shapes)
    return sketch


def _single_mushroom(rng: np.random.Generator) -> Sketch:
    sketch = Sketch()
    foot = between(rng, 1.3, 2)
    sketch.blob([(-1.1, -0.5), (1.1, -0.5), (1, 2.5), (foot, 5.4), (-foot, 5.4), (-1, 2.5)], FLESH)
    sketch.polygon([(-1.2, 1.3), (1.2, 1.3), (1.7, 2.3), (0, 2), (-1.7, 2.3)], (228, 210, 176))
    variant = rng.integers(3)
    height = (4.4, 2.9, 5.4)[variant]
    sketch.ellipse(0, 0, 4.6, 0.95, (226, 204, 170))
    if variant == 2:
        cap = np.array([(-4.8, 0.3), (-3, -2.2), (-0.7, -height), (0.7, -height), (3, -2.2), (4.8, 0.3), (0, 0.0)])
        sketch.blob([(float(x), float(y)) for x, y in cap], "body")
    else:
        dome = arc(0, 0.2, 4.9, height, 180, 360, count=20)
        brim = arc(0, 0.2, 4.9, 0.6, 0, -180, count=10)
        sketch.polygon(np.concatenate([dome, brim]), "body")
    return sketch
