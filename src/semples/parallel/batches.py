"""Batches that are split over processes, and within each process into micro-batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Any, cast

from accelerate import Accelerator
from accelerate.data_loader import prepare_data_loader
from torch.utils.data import BatchSampler, DataLoader, Sampler

from semples.parallel.processes import shard, world_size


class ShardedBatchSampler(Sampler[list[int]]):
    """Samples this process's share of each batch; together the shares form the batch one process would see.

    Every step needs all processes, and the same number of micro-batches in each: ``micro_batches``, or fewer if no
    process has that many images. A process with fewer images than micro-batches gets a placeholder, an image of the
    batch at the end of its share, which must have no weight.

    Args:
        loader: The loader that one process alone would iterate over; its last batch may be smaller.
        micro_batches: Number of micro-batches in each process.
    """

    def __init__(self, loader: DataLoader[Any], micro_batches: int = 1) -> None:
        self.micro_batches = micro_batches
        self.batches = cast(BatchSampler, loader.batch_sampler)
        self.batch_size = self.batches.batch_size
        self.images = len(cast(Sized, self.batches.sampler))

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batches:
            local = shard(batch)
            largest_share = -(-len(batch) // world_size())  # rounded up
            needed = min(self.micro_batches, largest_share)
            yield local if len(local) >= needed else [*local, batch[0]]  # the shortfall is 1 at most

    def global_size(self, step: int) -> int:
        """Return the number of images in a batch of the epoch, counted from 0, over all processes."""
        return min(self.batch_size, self.images - step * self.batch_size)

    def local_size(self, step: int) -> int:
        """Return the number of images in this process's share of a batch, without the placeholder."""
        return len(shard(range(self.global_size(step))))


@dataclass(frozen=True)
class MicroBatchCollate:
    """Collates the items of a share into a list of micro-batches.

    Items are split before they are collated, because a batch may hold values whose number varies by image, such as
    (image, class) pairs.

    Args:
        collate: Makes a batch out of items.
        micro_batches: Number of micro-batches; fewer items make one micro-batch each.
    """

    collate: Callable[[list[Any]], Any]
    micro_batches: int = 1

    def __call__(self, items: Sequence[Any]) -> list[Any]:
        """Deal the items out to the micro-batches, and collate each."""
        count = min(self.micro_batches, len(items))
        return [self.collate(list(items[start::count])) for start in range(count)]


def sharded_loader(
    loader: DataLoader[Any], micro_batches: int, accelerator: Accelerator
) -> tuple[ShardedBatchSampler, Any]:
    """Split a loader's batches over processes and micro-batches.

    Returns:
        The sampler of this process's shares, and a loader that yields each share as a list of micro-batches on the
        device.
    """
    sampler = ShardedBatchSampler(loader, micro_batches)
    sharded = DataLoader(
        loader.dataset,
        batch_sampler=sampler,
        generator=loader.generator,
        num_workers=loader.num_workers,
        collate_fn=MicroBatchCollate(loader.collate_fn, micro_batches),
    )
    # accelerate is told of one process, so that it does not split the shares again.
    device = accelerator.device
    return sampler, prepare_data_loader(sharded, device, num_processes=1, process_index=0, put_on_device=True)
