"""The 14 contexts of the built-in scenes: word -> function that paints an area."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from PIL import Image

from semples.data.scenes import built, nature
from semples.data.scenes.texture import Area

PAINTERS: Mapping[str, Callable[[np.random.Generator, Area], Image.Image]] = MappingProxyType(
    {
        "water": nature.water,
        "rails": built.rails,
        "sky": nature.sky,
        "grass": nature.grass,
        "snow": nature.snow,
        "sand": nature.sand,
        "night": nature.night,
        "wall": built.wall,
        "road": built.road,
        "forest": nature.forest,
        "tiles": built.tiles,
        "wood": built.wood,
        "city": built.city,
        "rocks": nature.rocks,
    }
)

CONTEXTS: tuple[str, ...] = tuple(PAINTERS)
"""Names of the contexts."""
