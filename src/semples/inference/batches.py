"""Batches for inference on whole images: of one size each, bounded in memory, finished ones skipped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from semples.records import Sample

BATCH_PIXELS = 2**18
"""Largest number of pixels of a batch, about; a larger image is a batch of its own."""


def size_batches(samples: Sequence[Sample], short_side: int = 0) -> Iterator[list[int]]:
    """Yield batches of indices of samples of equal size, bounded in memory.

    Args:
        samples: The samples to group.
        short_side: Length in pixels to which the model enlarges the short side of the images; 0 for none.
    """
    by_size: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, sample in enumerate(samples):
        by_size[sample.size].append(index)
    for (height, width), indices in sorted(by_size.items()):
        scale = max(1.0, short_side / min(height, width))
        largest_batch = max(1, int(BATCH_PIXELS / (height * width * scale**2)))
        for start in range(0, len(indices), largest_batch):
            yield indices[start : start + largest_batch]


def unfinished(batches: Iterable[list[int]], result: Callable[[int], Path]) -> list[list[int]]:
    """Return the batches with a missing result.

    Such a batch is computed again as a whole, because the size of a batch may change the last bits of its results.

    Args:
        batches: Batches of indices.
        result: Returns the file of the result for an index.
    """
    return [batch for batch in batches if not all(result(index).is_file() for index in batch)]
