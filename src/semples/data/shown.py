"""Which images of a data set are shown where not all of them can be."""

from __future__ import annotations

from collections.abc import Sequence

from semples.records import Sample


def evenly(samples: Sequence[Sample], count: int) -> list[Sample]:
    """Take ``count`` samples at even distances, or all of them where there are fewer."""
    count = min(count, len(samples))
    return [samples[index * len(samples) // count] for index in range(count)]
