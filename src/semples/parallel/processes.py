"""Several processes on one run, as torchrun starts them: their numbers, their shares, and what they exchange.

A single process has a world size of 1, in which every function returns what it is given. The processes share the run
directory and the settings (``docs/scaling.md``). All processes must call the functions that exchange something, from
:func:`unshard` on: each of them waits for the others.
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor
from torch.distributed.rendezvous import rendezvous
from torch.nn import functional as F

from semples.errors import ConfigError

Item = TypeVar("Item")

TIMEOUT = timedelta(hours=12)
"""How long a process waits for another: the main process embeds words and writes reports alone."""
SECONDS_TO_FREE_TENSORS = 0.2
"""How long the threads of a process group may take to free the tensors of the last exchange: milliseconds suffice."""
_FAILURE = "semples/failure"


def rank() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main_process() -> bool:
    """Whether this is the main process, which alone writes the manifest, log, weights and report."""
    return rank() == 0


@contextmanager
def process_group(on_cpu: bool) -> Iterator[None]:
    """Connect to the other processes that torchrun started, if any, for the duration of a block.

    After an error the connections stay open, so that the failing process can report it before the others notice.

    Args:
        on_cpu: Train on CPUs (gloo) instead of one GPU per process (NCCL).

    Raises:
        ConfigError: The others cannot be found, or the device cannot be shared.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield
        return
    if not on_cpu and not torch.cuda.is_available():
        raise ConfigError("device: several processes cannot share this one; set device to cpu or cuda")
    store, number, count = _rendezvous()
    backend = "gloo" if on_cpu else "cpu:gloo,cuda:nccl"
    dist.init_process_group(backend, store=store, rank=number, world_size=count, timeout=TIMEOUT)
    yield
    dist.destroy_process_group()
    # DDP keeps the group's threads alive. One that still waits for the GIL when the interpreter shuts down, to free the
    # tensors of the last exchange, aborts the process. The sleep gives it the GIL.
    time.sleep(SECONDS_TO_FREE_TENSORS)


@cache
def _rendezvous() -> tuple[Any, int, int]:
    """Return the store, the number of this process and the number of processes, from the environment."""
    try:
        found: tuple[Any, int, int] = next(iter(rendezvous("env://")))
        return found
    except ValueError as error:
        count = os.environ.get("WORLD_SIZE")
        raise ConfigError(
            f"WORLD_SIZE is {count}, but {error}: start with torchrun --nproc-per-node {count} -m semples run"
        ) from error


def first_failure(status: int) -> tuple[bool, int]:
    """Decide which of several failing processes reports its error; the others fail only because it is gone.

    Args:
        status: Exit status of this process.

    Returns:
        Whether this process is the first to fail, and the exit status of the first.
    """
    try:
        store, number, _ = _rendezvous()
        mine = f"{number} {status}"
        first = store.compare_set(_FAILURE, "", mine).decode()
    except (ConfigError, RuntimeError):  # there is no store to ask
        return True, status
    return first == mine, int(first.split()[1])


def exit_if_distributed(status: int) -> None:
    """End this process at once if it is connected to others.

    A normal exit closes connections that others are still waiting on, and aborts now and then.
    """
    if dist.is_initialized():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def shard(items: Sequence[Item]) -> list[Item]:
    """Return this process's share of a sequence: items rank, rank + n, rank + 2n, ... for n processes."""
    return list(items[rank() :: world_size()])


def unshard(results: Sequence[Item]) -> list[Item]:
    """Put the results of all processes in the order of the sequence that :func:`shard` split, one for each item."""
    shares = all_gather(results)
    # shard deals the items out like cards: with 2 processes and 5 items the shares are [0, 2, 4] and [1, 3]. So item i
    # is in the share of process i % n, at position i // n.
    return [shares[i % len(shares)][i // len(shares)] for i in range(sum(map(len, shares)))]


def all_gather(value: Item) -> list[Item]:
    """Return the values of all processes in the order of their ranks: tensors on the CPU, and plain values."""
    if world_size() == 1:
        return [value]
    buffer = io.BytesIO()
    torch.save(value, buffer)
    local = torch.frombuffer(bytearray(buffer.getbuffer()), dtype=torch.uint8)
    sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(world_size())]
    dist.all_gather(sizes, torch.tensor([len(local)]))
    longest = int(max(sizes))  # all tensors of a gather have one size
    padded = [torch.zeros(longest, dtype=torch.uint8) for _ in range(world_size())]
    dist.all_gather(padded, F.pad(local, (0, longest - len(local))))
    contents = (part[: int(size)].numpy().tobytes() for part, size in zip(padded, sizes, strict=True))
    return [torch.load(io.BytesIO(content), weights_only=True) for content in contents]


def broadcast_flag(flag: bool) -> bool:
    """Return the main process's flag."""
    answer = torch.tensor(flag)
    broadcast([answer])
    return bool(answer)


def barrier() -> None:
    """Wait until all processes are here; the files that they wrote before are then complete."""
    all_reduce_sum(torch.zeros(1))


@contextmanager
def main_process_first() -> Iterator[None]:
    """Let the main process run a block first, and the others once it has left the block."""
    if not is_main_process():
        barrier()
    yield
    if is_main_process():
        barrier()


def all_reduce_sum(values: Tensor) -> Tensor:
    """Return the sum of a tensor over processes; its shape must be the same in all."""
    if world_size() == 1:
        return values
    total = values.detach().clone()
    dist.all_reduce(total)
    return total


def all_reduce_counts(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sum of an int64 array over processes; its shape must be the same in all."""
    total: NDArray[np.int64] = all_reduce_sum(torch.from_numpy(counts)).numpy()
    return total


def broadcast(tensors: Iterable[Tensor]) -> None:
    """Overwrite the tensors with the main process's."""
    if world_size() > 1:
        for tensor in tensors:
            dist.broadcast(tensor.detach(), src=0)
