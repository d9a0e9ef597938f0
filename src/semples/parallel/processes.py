"""Several processes on one run, as torchrun starts them: who each is, what it does, what they add up and agree on.

A single process is a world of 1: every function then hands back what it was given. The processes share the run
directory and the settings (``docs/scaling.md``); every call here but :func:`rank`, :func:`world`, :func:`is_first`
and :func:`share` waits for all of them, so that all have to make it.
"""

from __future__ import annotations

import io
import os
import sys
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

PATIENCE = timedelta(hours=12)
"""How long a process waits for another that lives: the first embeds words and writes reports alone."""
_FAILURE = "semples/failure"


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this is the process that writes what there is one of: manifest, log, weights, report."""
    return rank() == 0


@contextmanager
def processes(on_cpu: bool) -> Iterator[None]:
    """Join the other processes that torchrun started, where it did, until the block ends well.

    After an error the connections stay, so that the one who met it can say so before the others miss it.

    Args:
        on_cpu: Train on processors (gloo), not on one GPU for each process (NCCL).

    Raises:
        ConfigError: The others cannot be found, or the device cannot be shared.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield
        return
    if not on_cpu and not torch.cuda.is_available():
        raise ConfigError("device is not one that several processes can use, expected cpu or cuda: set device")
    store, number, count = _rendezvous()
    backend = "gloo" if on_cpu else "cpu:gloo,cuda:nccl"
    dist.init_process_group(backend, store=store, rank=number, world_size=count, timeout=PATIENCE)
    yield
    dist.destroy_process_group()


@cache
def _rendezvous() -> tuple[Any, int, int]:
    """Store, number of this process and number of all, as the environment tells them."""
    try:
        found: tuple[Any, int, int] = next(iter(rendezvous("env://")))
        return found
    except ValueError as error:
        count = os.environ.get("WORLD_SIZE")
        raise ConfigError(
            f"WORLD_SIZE is {count}, but {error}: start with torchrun --nproc-per-node {count} -m semples run"
        ) from error


def first_failure(status: int) -> tuple[bool, int]:
    """Decide which of several failing processes tells why; the others only miss it.

    Args:
        status: Exit status of this process.

    Returns:
        Whether this process is the first to fail, and the exit status of the first.
    """
    try:
        store, number, _ = _rendezvous()
        mine = f"{number} {status}"
        first = store.compare_set(_FAILURE, "", mine).decode()
    except (ConfigError, RuntimeError):  # nobody to ask
        return True, status
    return first == mine, int(first.split()[1])


def leave_others(status: int) -> None:
    """End this process at once where it is connected to others, with an exit status.

    The usual way would tear down connections that others still wait on, and abort now and then.
    """
    if dist.is_initialized():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def share(items: Sequence[Item]) -> list[Item]:
    """Take this process's part of what all have: every item is in one part."""
    return list(items[rank() :: world()])


def unshare(results: Sequence[Item]) -> list[Item]:
    """Collect what the processes made of their :func:`share` of a sequence, one result each, in its order."""
    parts = gathered(results)
    return [parts[i % len(parts)][i // len(parts)] for i in range(sum(map(len, parts)))]


def gathered(value: Item) -> list[Item]:
    """Return the values of all processes in the order of their numbers: tensors on the CPU and plain values."""
    if world() == 1:
        return [value]
    buffer = io.BytesIO()
    torch.save(value, buffer)
    mine = torch.frombuffer(bytearray(buffer.getbuffer()), dtype=torch.uint8)
    sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(world())]
    dist.all_gather(sizes, torch.tensor([len(mine)]))
    longest = int(max(sizes))
    everyones = [torch.zeros(longest, dtype=torch.uint8) for _ in range(world())]
    dist.all_gather(everyones, F.pad(mine, (0, longest - len(mine))))
    contents = (part[: int(size)].numpy().tobytes() for part, size in zip(everyones, sizes, strict=True))
    return [torch.load(io.BytesIO(content), weights_only=True) for content in contents]


def first_says(flag: bool) -> bool:
    """Return the flag of the first process."""
    answer = torch.tensor(flag)
    copy_from_first([answer])
    return bool(answer)


def wait() -> None:
    """Wait until all processes are here; what they wrote before is there."""
    summed(torch.zeros(1))


@contextmanager
def first_goes_first() -> Iterator[None]:
    """Let the others enter a block when the first process has left it."""
    if not is_first():
        wait()
    yield
    if is_first():
        wait()


def summed(values: Tensor) -> Tensor:
    """Return the sum of the processes' tensors of one shape."""
    if world() == 1:
        return values
    total = values.detach().clone()
    dist.all_reduce(total)
    return total


def summed_counts(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sum of the processes' int64 arrays of one shape."""
    total: NDArray[np.int64] = summed(torch.from_numpy(counts)).numpy()
    return total


def copy_from_first(tensors: Iterable[Tensor]) -> None:
    """Fill the tensors with those of the first process."""
    if world() > 1:
        for tensor in tensors:
            dist.broadcast(tensor.detach(), src=0)
