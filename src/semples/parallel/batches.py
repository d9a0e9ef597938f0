"""Batches that processes share, and that each computes in parts: which images are whose."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Any, cast

from accelerate import Accelerator
from accelerate.data_loader import prepare_data_loader
from torch.utils.data import BatchSampler, DataLoader, Sampler

from semples.parallel.processes import share, world


class BatchShare(Sampler[list[int]]):
    """Every batch of a loader but for the other processes' parts, so that the batches of all are those of one process.

    Every process computes its share in equally many parts: as many as wanted, or less where no process has so many
    images. Where a small batch leaves one of them without an image, an image of the batch stands in, as the last of
    the share, and must not count: all processes have to take part in every step.

    Args:
        loader: What one process alone would iterate over; its last batch may be smaller.
        wanted: Number of parts.
    """

    def __init__(self, loader: DataLoader[Any], wanted: int = 1) -> None:
        self.wanted = wanted
        self.batches = cast(BatchSampler, loader.batch_sampler)
        self.batch_size = self.batches.batch_size
        self.images = len(cast(Sized, self.batches.sampler))

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batches:
            mine = share(batch)
            parts = min(self.wanted, -(-len(batch) // world()))
            yield mine if len(mine) >= parts else [*mine, batch[0]]

    def whole(self, step: int) -> int:
        """Number of images of a batch, counted from 0 in the epoch."""
        return min(self.batch_size, self.images - step * self.batch_size)

    def own(self, step: int) -> int:
        """Number of them that are this process's, without a stand-in."""
        return len(share(range(self.whole(step))))


@dataclass(frozen=True)
class InParts:
    """Makes a list of batches, the parts of a share, out of its items.

    They are split here, before values of different lengths, such as (image, class) pairs, are in one batch.

    Args:
        collate: Makes a batch of items.
        wanted: Number of parts; fewer items make as many parts as they are.
    """

    collate: Callable[[list[Any]], Any]
    wanted: int = 1

    def __call__(self, items: Sequence[Any]) -> list[Any]:
        """Deal the items out to the parts, and make a batch of each."""
        parts = min(self.wanted, len(items))
        return [self.collate(list(items[part::parts])) for part in range(parts)]


def shared_loader(loader: DataLoader[Any], parts: int, accelerator: Accelerator) -> tuple[BatchShare, Any]:
    """Return the shares of a loader's batches, and a loader of them that gives lists of their parts on the device."""
    batches = BatchShare(loader, parts)
    shared = DataLoader(
        loader.dataset,
        batch_sampler=batches,
        generator=loader.generator,
        num_workers=loader.num_workers,
        collate_fn=InParts(loader.collate_fn, parts),
    )
    # One process, as it is told here, leaves the shares as they are.
    device = accelerator.device
    return batches, prepare_data_loader(shared, device, num_processes=1, process_index=0, put_on_device=True)
