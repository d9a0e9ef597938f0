"""Assignments of contexts to objects, drawn at random."""

from __future__ import annotations

import random

from semples.data.scenes import CONTEXTS, OBJECTS
from semples.errors import ConfigError

FIRST_SEED = 2000


def random_pairings(count: int, num_classes: int) -> list[dict[str, str]]:
    """Draw pairings of different objects with different contexts.

    Pairing i comes from ``random.Random(2000 + i)``, so that more pairings begin with those of fewer.

    Args:
        count: Number of pairings.
        num_classes: Objects in each.

    Returns:
        Object -> context, for each pairing.

    Raises:
        ConfigError: There are not so many objects.
    """
    most = min(len(OBJECTS), len(CONTEXTS))
    if num_classes > most:
        raise ConfigError(f"data.pairs has {num_classes} objects, but there are {most} to draw from: give fewer")
    pairings = []
    for index in range(count):
        draw = random.Random(FIRST_SEED + index)
        pairings.append(dict(zip(draw.sample(OBJECTS, num_classes), draw.sample(CONTEXTS, num_classes), strict=True)))
    return pairings
