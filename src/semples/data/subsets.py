"""Picks subsets of a data set, for work that does not need every image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def evenly_spaced(items: Sequence[Item], count: int) -> list[Item]:
    """Return ``count`` evenly spaced items, or all items if there are fewer."""
    count = min(count, len(items))
    return [items[index * len(items) // count] for index in range(count)]
