"""Batches for inference on whole images: equal sizes, bounded memory, finished work left out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from semples.records import Sample

BATCH_PIXELS = 2**18
"""Images of one size are batched up to about this many pixels."""


def size_batches(samples: Sequence[Sample], short_side: int = 0) -> Iterator[list[int]]:
    """Group indices of samples of equal size into batches of bounded memory.

    Args:
        samples: The samples to group.
        short_side: Length that the short side is scaled to before the model sees the image; 0 leaves it.
    """
    by_size: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, sample in enumerate(samples):
        by_size[sample.size].append(index)
    for (height, width), indices in sorted(by_size.items()):
        scale = max(1.0, short_side / min(height, width))
        most = max(1, int(BATCH_PIXELS / (height * width * scale**2)))
        for start in range(0, len(indices), most):
            yield indices[start : start + most]


def unfinished(batches: Iterable[list[int]], result: Callable[[int], Path]) -> list[list[int]]:
    """Return the batches of which a result is missing.

    Such a batch is computed again as a whole, because its size may change the last bits of a result.

    Args:
        batches: Batches of indices.
        result: Returns the file with the result for an index.
    """
    return [batch for batch in batches if not all(result(index).is_file() for index in batch)]
