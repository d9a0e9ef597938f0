"""The state of a training, kept in a file so that a killed process resumes exactly where it was."""

from __future__ import annotations

import io
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import skip_first_batches
from torch import Tensor

from semples.errors import ResultError
from semples.files import replacing, writing
from semples.parallel.processes import all_gather, all_reduce_sum, is_main_process, rank
from semples.training.ema import MovingAverage


class Checkpoint:
    """A file with the latest state of one training, replaced at intervals by the main process.

    Args:
        path: The file; None keeps nothing.
        seconds: Time between two saves; 0 saves after every step.
    """

    def __init__(self, path: Path | None = None, seconds: float = 30.0) -> None:
        self.path = path
        self.seconds = seconds
        self._saved = time.monotonic()

    def is_due(self) -> bool:
        """Whether the time since the last save has passed."""
        return self.path is not None and time.monotonic() - self._saved >= self.seconds

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the file with a state of tensors and plain values.

        Raises:
            RunError: The file cannot be written.
        """
        if self.path is None or not is_main_process():
            return
        buffer = io.BytesIO()  # torch does not write the file itself: its errors hide the cause, such as a full disk
        torch.save(state, buffer)
        with replacing(self.path) as temporary:
            temporary.write_bytes(buffer.getbuffer())
        self._saved = time.monotonic()

    def remove(self) -> None:
        """Delete the file.

        Raises:
            RunError: The file cannot be deleted.
        """
        if self.path is not None and is_main_process():
            with writing(self.path):
                self.path.unlink(missing_ok=True)

    def load(self, message: Callable[[str], None]) -> Any:
        """Return the last state, or None.

        Args:
            message: Receives one line if the training has started and its state is missing or damaged.
        """
        if self.path is None or not self.path.parent.is_dir():
            return None
        try:
            with warnings.catch_warnings():  # a damaged file is reported below; other warnings are harmless
                warnings.simplefilter("ignore")
                return torch.load(self.path, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            message(f"{self.path} is missing: this stage starts over, earlier stages are kept")
        except Exception:  # torch raises a dozen types on damaged files
            message(f"{self.path} is damaged: this stage starts over, earlier stages are kept")
        return None


SHARE = ("share", "share")
"""Key, (kind, name), of this process's share of a batch; the shares of all processes sum to 1."""


class EpochSums:
    """Sums for the means over an epoch, kept on the device so that no step waits for the logger.

    Args:
        sums: (kind, name) -> sum so far, 0-d.
        weight: Number of images in them, over all processes.
    """

    def __init__(self, sums: Mapping[tuple[str, str], Tensor] | None = None, weight: int = 0) -> None:
        self.sums = dict(sums or {})
        self.weight = weight

    def add(self, named: Mapping[tuple[str, str], Tensor], weight: int) -> None:
        """Add a batch.

        Args:
            named: (kind, name) -> this process's contribution to the mean over the batch, 0-d.
            weight: Number of images in the batch, over all processes.
        """
        for key, value in named.items():
            self.sums[key] = self.sums.get(key, torch.zeros_like(value)) + value.detach() * weight
        self.weight += weight

    def means(self) -> dict[str, dict[str, float]]:
        """Return kind -> name -> mean over all processes."""
        return _by_kind({key: float(all_reduce_sum(value)) for key, value in self.sums.items()}, self.weight)

    def local_means(self) -> dict[str, dict[str, float]]:
        """Return kind -> name -> mean over this process's share, for the terminal, without waiting for the others."""
        return _by_kind({key: float(value) for key, value in self.sums.items()}, float(self.sums[SHARE]) or 1.0)


def _by_kind(sums: Mapping[tuple[str, str], float], weight: float) -> dict[str, dict[str, float]]:
    """Divide (kind, name) -> sum by a weight, as kind -> name -> mean."""
    means: dict[str, dict[str, float]] = defaultdict(dict)
    for (kind, name), value in sums.items():
        means[kind][name] = value / weight
    return means


class TrainingState:
    """Everything that changes while a module trains, and the position in the training.

    Args:
        module: The module in training.
        optimizer: Its optimizer.
        schedule: Its learning-rate schedule.
        order: Generator of the order of the batches.
        history: One entry for each finished epoch.
        average: Moving average of the module, or None.

    Attributes:
        epoch: Finished epochs.
        step: Steps done in the current epoch.
        sums: Sums over these steps.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        optimizer: Any,
        schedule: Any,
        order: torch.Generator,
        history: list[Any],
        average: MovingAverage | None = None,
    ) -> None:
        self.average = average
        self.module, self.optimizer, self.schedule = module, optimizer, schedule
        self.order, self.history = order, history
        self.epoch, self.step, self.sums = 0, 0, EpochSums()
        self._order_of_epoch = order.get_state()

    def batches(self, loader: Any) -> Iterator[Any]:
        """Iterate over the rest of the epoch, in the order of an uninterrupted epoch."""
        self._order_of_epoch = self.order.get_state()
        yield from skip_first_batches(loader, self.step) if self.step else loader

    def end_step(self, named: Mapping[tuple[str, str], Tensor], images: int) -> None:
        """Count a finished step on a batch of images, and add its values."""
        self.step += 1
        self.sums.add(named, images)

    def end_epoch(self, entry: Any) -> None:
        """Add an entry to the history, and start counting the next epoch."""
        self.history.append(entry)
        self.epoch, self.step, self.sums = self.epoch + 1, 0, EpochSums()

    def collect(self) -> dict[str, Any]:
        """Return the state as tensors and plain values, for :meth:`Checkpoint.save`, without frozen parameters.

        Random states and sums, which differ between processes, are gathered from all of them.
        """
        frozen = self._frozen()
        sums = {key: value.cpu() for key, value in self.sums.sums.items()}
        return {
            "module": {name: value for name, value in self.module.state_dict().items() if name not in frozen},
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "processes": all_gather((_random_state(), sums)),
            "order": self._order_of_epoch if self.step else self.order.get_state(),
            "position": (self.epoch, self.step),
            "weight": self.sums.weight,
            "history": self.history,
            "average": self.average and self.average.state_dict(),
        }

    def restore(self, state: Mapping[str, Any], path: Path | None = None) -> None:
        """Restore a state.

        Args:
            state: The result of :meth:`collect`.
            path: The file it was read from, for the error.

        Raises:
            ResultError: The state belongs to another training.
        """
        try:
            self._load_module(state["module"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.schedule.load_state_dict(state["schedule"])
            random, sums = state["processes"][rank()]
            _set_random_state(random)
            self.order.set_state(state["order"])
            self.epoch, self.step = state["position"]
            self.sums = EpochSums(sums, state["weight"])
            self.history[:] = state["history"]
            if self.average is not None:
                self.average.load_state_dict(state["average"])
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ResultError(f"{path}: the checkpoint does not fit this training ({reason}); delete it") from error

    def _load_module(self, tensors: Mapping[str, Tensor]) -> None:
        """Load the module's tensors, everything except frozen parameters."""
        absent, unknown = self.module.load_state_dict(tensors, strict=False)
        missing = set(absent) - self._frozen()
        if missing or unknown:
            raise ValueError(f"missing {sorted(missing)[:3]}, unknown {unknown[:3]}")

    def _frozen(self) -> set[str]:
        return {name for name, parameter in self.module.named_parameters() if not parameter.requires_grad}


def _random_state() -> dict[str, Any]:
    name, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": (str(name), torch.from_numpy(np.asarray(keys, np.int64)), position, has_gauss, gauss),
    }


def _set_random_state(state: Mapping[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
    name, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
