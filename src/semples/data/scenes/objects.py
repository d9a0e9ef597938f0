"""The 14 object classes of the built-in scenes: word -> function that sketches one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from semples.data.scenes import creatures, things
from semples.data.scenes.sketch import Sketch

SKETCHERS: Mapping[str, Callable[[np.random.Generator], Sketch]] = MappingProxyType(
    {
        "boat": things.boat,
        "train": things.train,
        "plane": things.plane,
        "car": things.car,
        "bird": creatures.bird,
        "cat": creatures.cat,
        "fish": creatures.fish,
        "house": things.house,
        "ball": things.ball,
        "sheep": creatures.sheep,
        "umbrella": things.umbrella,
        "flower": creatures.flower,
        "mushroom": creatures.mushroom,
        "balloon": things.balloon,
    }
)

OBJECTS: tuple[str, ...] = tuple(SKETCHERS)
"""Names of the object classes."""
