"""Color words and color arithmetic of the built-in scenes."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

RGB = tuple[int, int, int]
"""Red, green and blue, each 0 to 255."""

COLORS = MappingProxyType(
    {
        "red": (205, 38, 38),
        "orange": (243, 132, 22),
        "yellow": (246, 216, 48),
        "green": (52, 152, 62),
        "blue": (42, 88, 208),
        "purple": (130, 58, 168),
        "pink": (242, 142, 184),
        "brown": (122, 76, 42),
        "white": (242, 242, 240),
        "black": (36, 36, 42),
    }
)
"""Color word -> RGB of an object's body."""

PATTERNS = ("plain", "striped", "dotted", "checked")
"""Words for the pattern of an object's body."""

WHITE: RGB = (255, 255, 255)
BLACK: RGB = (0, 0, 0)


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw one float uniformly from ``[low, high)``."""
    return float(rng.uniform(low, high))


def mix(first: RGB, second: RGB, share: float) -> RGB:
    """Return the color at ``share`` (0 to 1) of the way from the first to the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def jitter(rng: np.random.Generator, color: RGB, amount: float) -> RGB:
    """Return the color with its brightness and each channel shifted by random levels up to ``amount``."""
    moved = np.asarray(color) + rng.uniform(-amount, amount) + rng.uniform(-amount, amount, 3) / 2
    red, green, blue = np.clip(moved, 0, 255).astype(int).tolist()
    return red, green, blue


def luminance(color: RGB) -> float:
    """Return the perceived brightness, 0 to 255."""
    return 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]


def contrasting(color: RGB, share: float) -> RGB:
    """Return a darker tone of the color, or a lighter one if it is nearly black."""
    return mix(color, WHITE if luminance(color) < 60 else BLACK, share)
