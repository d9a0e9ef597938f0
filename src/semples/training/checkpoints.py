"""What a training needs to go on exactly where its process was killed."""

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
from semples.parallel.processes import gathered, is_first, rank, summed
from semples.training.ema import MovingAverage


class Checkpoint:
    """One file with the latest state of one training, replaced every so many seconds by the first process.

    Args:
        path: The file; None keeps nothing.
        seconds: Time between two states; 0 keeps the state after every step.
    """

    def __init__(self, path: Path | None = None, seconds: float = 30.0) -> None:
        self.path = path
        self.seconds = seconds
        self._saved = time.monotonic()

    def is_due(self) -> bool:
        """Whether the last state is old enough for a new one."""
        return self.path is not None and time.monotonic() - self._saved >= self.seconds

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the file by a state of tensors and plain values.

        Raises:
            RunError: It cannot be written.
        """
        if self.path is None or not is_first():
            return
        buffer = io.BytesIO()  # written by Python itself, whose errors name their cause
        torch.save(state, buffer)
        with replacing(self.path) as temporary:
            temporary.write_bytes(buffer.getbuffer())
        self._saved = time.monotonic()

    def remove(self) -> None:
        """Delete the file.

        Raises:
            RunError: It cannot be deleted.
        """
        if self.path is not None and is_first():
            with writing(self.path):
                self.path.unlink(missing_ok=True)

    def load(self, tell: Callable[[str], None]) -> Any:
        """Return the last state, or None; where a started training has none, ``tell`` gets one line that says so."""
        if self.path is None or not self.path.parent.is_dir():
            return None
        try:
            with warnings.catch_warnings():  # what torch warns of in strange files is told below, or does no harm
                warnings.simplefilter("ignore")
                return torch.load(self.path, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            tell(f"{self.path} is not there: the stage starts over, stages before it stay")
        except Exception:  # torch raises a dozen types on damaged files
            tell(f"{self.path} is damaged: the stage starts over, stages before it stay")
        return None


SHARE = ("share", "share")
"""Kind and name of this process's share of a batch, whose sum over processes is 1."""


class EpochSums:
    """Means over an epoch, kept on the device so that no step waits for the logger."""

    def __init__(self, sums: Mapping[tuple[str, str], Tensor] | None = None, weight: int = 0) -> None:
        self.sums = dict(sums or {})
        self.weight = weight

    def add(self, named: Mapping[tuple[str, str], Tensor], weight: int) -> None:
        """Add 0-d values, named by kind and name, of a batch of ``weight`` images: this process's part of each."""
        for key, value in named.items():
            self.sums[key] = self.sums.get(key, torch.zeros_like(value)) + value.detach() * weight
        self.weight += weight

    def means(self) -> dict[str, dict[str, float]]:
        """Return kind -> name -> mean over all processes."""
        return _by_kind({key: float(summed(value)) for key, value in self.sums.items()}, self.weight)

    def own_means(self) -> dict[str, dict[str, float]]:
        """Return the same of this process's part alone, for the terminal; no other process takes part."""
        return _by_kind({key: float(value) for key, value in self.sums.items()}, float(self.sums[SHARE]) or 1.0)


def _by_kind(sums: Mapping[tuple[str, str], float], weight: float) -> dict[str, dict[str, float]]:
    """Divide sums by a weight, kind -> name -> mean."""
    out: dict[str, dict[str, float]] = defaultdict(dict)
    for (kind, name), value in sums.items():
        out[kind][name] = value / weight
    return out


class TrainingState:
    """Everything that changes while a module trains, and how far the training is.

    Args:
        module: What is trained.
        optimizer: Its optimiser.
        schedule: Its learning rate.
        order: Source of the order of the batches.
        history: One entry for each epoch done.
        average: Moving average of the module, or None.

    Attributes:
        epoch: Epochs done.
        step: Steps done of the epoch after them.
        sums: Of these steps.
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
        """Iterate over what is left of the epoch, in the order that a whole epoch has."""
        self._order_of_epoch = self.order.get_state()
        yield from skip_first_batches(loader, self.step) if self.step else loader

    def end_step(self, named: Mapping[tuple[str, str], Tensor], images: int) -> None:
        """Count a step that was done on a batch of images, and add its values."""
        self.step += 1
        self.sums.add(named, images)

    def end_epoch(self, entry: Any) -> None:
        """Start to count the next epoch."""
        self.history.append(entry)
        self.epoch, self.step, self.sums = self.epoch + 1, 0, EpochSums()

    def collect(self) -> dict[str, Any]:
        """Return tensors and plain values, for :meth:`Checkpoint.save`; frozen parameters are not among them.

        What is each process's own comes from all of them.
        """
        frozen = self._frozen()
        sums = {key: value.cpu() for key, value in self.sums.sums.items()}
        return {
            "module": {name: value for name, value in self.module.state_dict().items() if name not in frozen},
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "processes": gathered((_random_state(), sums)),
            "order": self._order_of_epoch if self.step else self.order.get_state(),
            "position": (self.epoch, self.step),
            "weight": self.sums.weight,
            "history": self.history,
            "average": self.average and self.average.state_dict(),
        }

    def restore(self, state: Mapping[str, Any], path: Path | None = None) -> None:
        """Become what :meth:`collect` returned.

        Args:
            state: The result of :meth:`collect`.
            path: Where it was read from, for the error.

        Raises:
            ResultError: The state is that of another training.
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
            raise ResultError(f"{path}: the checkpoint does not fit this training ({reason}): delete it") from error

    def _load_module(self, tensors: Mapping[str, Tensor]) -> None:
        """Load what :meth:`collect` took of the module: everything but frozen parameters."""
        missing, unknown = self.module.load_state_dict(tensors, strict=False)
        lacking = set(missing) - self._frozen()
        if lacking or unknown:
            raise ValueError(f"it lacks {sorted(lacking)[:3]} and has unknown {unknown[:3]}")

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
