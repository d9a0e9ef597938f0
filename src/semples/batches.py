"""Batches that processes share, and that each computes in parts: which images are whose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sized
from typing import Any, cast

from accelerate import Accelerator
from accelerate.data_loader import prepare_data_loader
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Sampler

from semples.distributed import share, world


class BatchShare(Sampler[list[int]]):
    """Every batch of a loader but for the other processes' parts, so that the batches of all are those of one process.

    A process that a small batch leaves without an image gets its first one as a stand-in, which must not count: all
    have to take part in every step.

    Args:
        loader: What one process alone would iterate over; its last batch may be smaller.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        self.batches = cast(BatchSampler, loader.batch_sampler)
        self.batch_size = self.batches.batch_size
        self.images = len(cast(Sized, self.batches.sampler))

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batches:
            yield share(batch) or batch[:1]

    def whole(self, step: int) -> int:
        """Number of images of a batch, counted from 0 in the epoch."""
        return min(self.batch_size, self.images - step * self.batch_size)

    def own(self, step: int) -> int:
        """Number of them that are this process's; 0 where it has a stand-in."""
        return len(share(range(self.whole(step))))

    def parts(self, step: int, wanted: int) -> int:
        """Number of parts that every process computes its share in: as wanted, or less where no process has so many."""
        return min(wanted, -(-self.whole(step) // world()))


def shared_loader(loader: DataLoader[Any], accelerator: Accelerator) -> tuple[BatchShare, Any]:
    """Return the shares of a loader's batches, and a loader of them that puts them on the device."""
    batches = BatchShare(loader)
    if world() > 1:
        loader = DataLoader(
            loader.dataset,
            batch_sampler=batches,
            generator=loader.generator,
            num_workers=loader.num_workers,
            collate_fn=loader.collate_fn,
        )
    # One process, as it is told here, leaves the batches as they are.
    device = accelerator.device
    return batches, prepare_data_loader(loader, device, num_processes=1, process_index=0, put_on_device=True)


def split_batch(batch: Mapping[str, Tensor], own: int, parts: int) -> list[tuple[Mapping[str, Tensor], bool]]:
    """Split a process's share of a batch.

    Args:
        batch: Tensors [N, ...], N = max(own, 1).
        own: Number of images in it that count.
        parts: Number of parts.

    Returns:
        The parts [n, ...], each with whether it counts: one that nothing is left for has the first image as a stand-in.
    """
    if parts == 1:
        return [(batch, own > 0)]
    slices = [slice(part, None, parts) if part < own else slice(1) for part in range(parts)]
    return [({name: v[s] for name, v in batch.items()}, part < own) for part, s in enumerate(slices)]
