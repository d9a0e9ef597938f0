"""Which images of a data set are shown where not all of them can be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def evenly(items: Sequence[Item], count: int) -> list[Item]:
    """Take ``count`` items at even distances, or all of them where there are fewer."""
    count = min(count, len(items))
    return [items[index * len(items) // count] for index in range(count)]
