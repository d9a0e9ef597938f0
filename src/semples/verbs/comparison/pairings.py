"""Draws random assignments of contexts to objects."""

from __future__ import annotations

import random

from semples.data.scenes import CONTEXTS, OBJECTS
from semples.errors import ConfigError

FIRST_SEED = 2000


def random_pairings(count: int, num_classes: int) -> list[dict[str, str]]:
    """Draw pairings of distinct objects with distinct contexts.

    Pairing i comes from ``random.Random(2000 + i)``, so that a longer list starts with the pairings of a shorter one.

    Args:
        count: Number of pairings.
        num_classes: Number of objects in each.

    Returns:
        One mapping object -> context per pairing.

    Raises:
        ConfigError: There are fewer objects than that.
    """
    most = min(len(OBJECTS), len(CONTEXTS))
    if num_classes > most:
        raise ConfigError(f"data.pairs: has {num_classes} objects, but only {most} can be drawn; give fewer")
    pairings = []
    for index in range(count):
        draw = random.Random(FIRST_SEED + index)
        pairings.append(dict(zip(draw.sample(OBJECTS, num_classes), draw.sample(CONTEXTS, num_classes), strict=True)))
    return pairings
