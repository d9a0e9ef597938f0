"""The only training loop: AdamW, schedule, mixed precision, logs. What differs between stages is passed in."""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from semples.errors import ConfigError, RunError
from semples.parallel.batches import shared_loader
from semples.parallel.processes import first_says, gathered
from semples.training.checkpoints import Checkpoint, TrainingState
from semples.training.ema import MovingAverage
from semples.training.progress import TrainingLog
from semples.training.step import Descent, LossParts, Outcome, Step, StepResult, count_images, values_of

__all__ = [
    "Fitting",
    "StepResult",
    "fit",
    "is_on_cpu",
    "make_accelerator",
    "peak_memory_mb",
    "poly",
    "rate_at",
    "require_device",
    "set_seed",
]

Schedule = Literal["cosine", "poly"]

_ONE_DEVICE = "a process has one device and one precision; start another process for another"


@dataclass(frozen=True)
class Fitting:
    """Length and optimiser of one training.

    Attributes:
        epochs: Passes over the loader.
        learning_rate: Peak rate of AdamW.
        weight_decay: Decoupled weight decay.
        warmup: Share of the steps with a linearly rising rate.
        section: Section of the settings that these came from, for errors; the stage's name if empty.
        schedule: How the rate falls after the warm-up: "cosine" or "poly".
        ema: Decay of the moving average that takes the place of the weights in the end; 0 keeps the last ones.
        accumulation: Parts of a batch that are computed one after the other, to save memory, in every process.
    """

    epochs: int
    learning_rate: float
    weight_decay: float
    warmup: float = 0.0
    section: str = ""
    schedule: Schedule = "cosine"
    ema: float = 0.0
    accumulation: int = 1


def make_accelerator(device: str, precision: str) -> Accelerator:
    """Resolve "auto" settings: the first CUDA GPU if there is one, bf16 where a GPU has it.

    Args:
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        precision: "auto", "fp32" or "bf16".

    Raises:
        ConfigError: This machine has no such device, or this process has already used another or another precision.
    """
    require_device(device)
    if device.startswith("cuda:"):
        torch.cuda.set_device(device)
    on_cpu = is_on_cpu(device)
    if precision == "auto":
        has_bf16 = not on_cpu and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
        precision = "bf16" if has_bf16 else "fp32"
    try:
        accelerator = Accelerator(cpu=on_cpu, mixed_precision="no" if precision == "fp32" else precision)
    except ValueError as error:  # accelerate keeps one state for the whole process
        raise ConfigError(f"device {device} with precision {precision}: {_ONE_DEVICE}") from error
    if on_cpu != (accelerator.device.type == "cpu"):
        raise ConfigError(f"device {device}, where {accelerator.device} is in use: {_ONE_DEVICE}")
    return accelerator


def is_on_cpu(device: str) -> bool:
    """Whether a device setting means the processor."""
    return device == "cpu" or (device == "auto" and not torch.cuda.is_available())


def require_device(device: str) -> None:
    """Raise ConfigError if this machine has no such device."""
    kind, _, number = device.partition(":")
    there = {"auto": 1, "cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if not (number.isdecimal() or device == kind) or int(number or 0) >= there.get(kind, 0):
        known = ", ".join(name for name, count in there.items() if count)
        raise ConfigError(f'device is "{device}", which is not there: set device to one of {known}')


def set_seed(seed: int) -> None:
    """Seed torch and numpy; each stage calls this with its own number, so that it can be run alone."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)


def rate_at(step: int, steps: int, warmup: float, schedule: Schedule = "cosine") -> float:
    """Factor on the learning rate: linear warm-up over a share of the steps, then down to 0."""
    rising = warmup * steps
    if step < rising:
        return (step + 1) / (rising + 1)
    done = min(1.0, (step - rising) / max(1, steps - rising))
    return poly(done) if schedule == "poly" else 0.5 * (1 + math.cos(math.pi * done))


def poly(done: float, power: float = 0.9) -> float:
    """Polynomial fall from 1 to 0, (1 - done)^power, by the share of the steps done, in [0, 1] (DeepLab)."""
    return float((1 - done) ** power)


def fit(
    stage: str,
    module: torch.nn.Module,
    step: Step,
    groups: Sequence[tuple[list[torch.nn.Parameter], float]],
    loader: Any,
    fitting: Fitting,
    accelerator: Accelerator,
    log: TrainingLog,
    checkpoint: Checkpoint | None = None,
    after_epoch: Callable[[], Any] | None = None,
    history: list[Any] | None = None,
    count: Callable[[Mapping[str, Tensor]], Tensor] = count_images,
) -> None:
    """Train ``module`` in place, from its last checkpoint where there is one.

    Processes share every batch, and each may compute its share in parts; gradients and logs are those of one process
    that has the batch as a whole, but for batch statistics, which are each part's own.

    Args:
        stage: Name in logs.
        module: What is trained; put into training mode.
        step: (module, batch on the device) -> parts of the loss.
        groups: Parameters to train, each list with a factor on the learning rate.
        loader: Batches, shuffled by ``loader.generator``, which a checkpoint includes. Where they exist,
            ``loader.dataset.epoch`` is set before each epoch, and ``loader.dataset.ids`` has a name for each
            ``index`` in a batch.
        fitting: Epochs, learning rate, weight decay, warm-up.
        accelerator: Device and precision.
        log: Where losses go.
        checkpoint: Where the state is kept; None keeps none.
        after_epoch: Called after each epoch; returns tensors or plain values.
        history: Receives what it returned, and holds the entries of earlier epochs when a training goes on.
        count: Number of items, 0-d, that ``step`` takes its means over in a batch.

    Raises:
        RunError: The loss is not finite, or the checkpoint cannot be written.
    """
    steps = fitting.epochs * len(loader)
    optimizer, schedule = _make_optimizer(groups, fitting, steps)
    dataset, order = loader.dataset, loader.generator or torch.default_generator
    shares, loader = shared_loader(loader, fitting.accumulation, accelerator)
    descent = Descent(module, step, count, accelerator)
    average = MovingAverage(module, fitting.ema) if fitting.ema else None
    optimizer, entries = accelerator.prepare(optimizer), [] if history is None else history
    state = TrainingState(module, optimizer, schedule, order, entries, average)
    checkpoint = checkpoint or Checkpoint()
    _go_on(stage, state, checkpoint, log)
    watch = _Watch(stage, module, fitting, getattr(dataset, "ids", None))
    with log.training(stage, fitting.epochs, len(loader), state.epoch * len(loader) + state.step) as progress:
        while state.epoch < fitting.epochs:
            if hasattr(dataset, "epoch"):
                dataset.epoch = state.epoch
            module.train()
            started, images = time.perf_counter(), 0
            for parts in state.batches(loader):
                outcomes = descent.take(parts, shares.own(state.step), state)
                in_batch = shares.whole(state.step)
                images += in_batch
                state.end_step(values_of(outcomes), in_batch)
                watch.add(state, outcomes)
                progress.advance(in_batch, state.sums.own_means)
                if first_says(checkpoint.is_due()):
                    watch.check()
                    checkpoint.save(state.collect())
            watch.check()
            _write_epoch(stage, fitting, state, images / (time.perf_counter() - started), log)
            state.end_epoch(None if after_epoch is None else after_epoch())
            if state.epoch == fitting.epochs or first_says(checkpoint.is_due()):
                checkpoint.save(state.collect())
    if average is not None:
        average.apply()


def _make_optimizer(
    groups: Sequence[tuple[list[torch.nn.Parameter], float]], fitting: Fitting, steps: int
) -> tuple[torch.optim.AdamW, torch.optim.lr_scheduler.LambdaLR]:
    optimizer = torch.optim.AdamW(
        [{"params": params, "lr": fitting.learning_rate * factor} for params, factor in groups if params],
        lr=fitting.learning_rate,
        weight_decay=fitting.weight_decay,
    )

    def factor(done: int) -> float:
        return rate_at(done, steps, fitting.warmup, fitting.schedule)

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def _go_on(stage: str, state: TrainingState, checkpoint: Checkpoint, log: TrainingLog) -> None:
    """Take up the last checkpoint, and forget the log's lines of what comes after it."""
    saved = checkpoint.load(log.tell)
    if saved is not None:
        state.restore(saved, checkpoint.path)
        log.tell(f"{stage:16} goes on after epoch {state.epoch}, step {state.step}")
    log.start(stage, state.epoch)


class _Watch:
    """Finds the first step whose loss is not finite, and waits for the device only when asked."""

    def __init__(self, stage: str, module: torch.nn.Module, fitting: Fitting, ids: Sequence[str] | None) -> None:
        self.stage, self.module, self.section, self.ids = stage, module, fitting.section or stage, ids
        self._steps: list[tuple[str, Tensor, LossParts, Tensor | None]] = []

    def add(self, state: TrainingState, outcomes: Sequence[Outcome]) -> None:
        """Note the step that was just done."""
        where = f"epoch {state.epoch + 1}, step {state.step}"
        for outcome in outcomes:
            kept = {name: part.detach() for name, part in outcome.result.parts.items()}
            self._steps.append((where, outcome.loss, kept, outcome.index))

    def check(self) -> None:
        """Look at the steps since the last check, and at the weights that they led to.

        Raises:
            RunError: The loss of one is not finite, or a weight is not, in whatever process.
        """
        problems = [problem for problem in gathered(self._problem()) if problem is not None]
        if problems:
            raise RunError(min(problems)[1])

    def _problem(self) -> tuple[int, str] | None:
        """First step of this process that is not finite, counted from the last check, and what to say of it."""
        steps, self._steps = self._steps, []
        if not steps:
            return None
        finite = torch.stack([loss for _, loss, _, _ in steps]).isfinite().tolist()
        if not all(finite):
            first = finite.index(False)
            where, loss, parts, index = steps[first]
            values = ", ".join(f"{name} {float(part):g}" for name, part in parts.items())
            return first, self._told(f"the loss of stage {self.stage} is {float(loss)} in {where} ({values})", index)
        trained = (parameter for parameter in self.module.parameters() if parameter.requires_grad)
        if not all(bool(parameter.isfinite().all()) for parameter in trained):
            where, _, _, index = steps[-1]
            what = f"weights of stage {self.stage} are not finite after {where}, although its loss is"
            return len(steps), self._told(what, index)
        return None

    def _told(self, what: str, index: Tensor | None) -> str:
        batch = ""
        if index is not None and self.ids is not None:
            batch = f"; its batch: {', '.join(self.ids[i] for i in index.tolist())}"
        return f"{what}{batch}: lower {self.section}.learning_rate"


def _write_epoch(stage: str, fitting: Fitting, state: TrainingState, speed: float, log: TrainingLog) -> None:
    means = state.sums.means()
    log.write(
        stage=stage,
        epoch=state.epoch + 1,
        epochs=fitting.epochs,
        loss=means["loss"]["loss"],
        parts=means["parts"],
        figures=means["figures"],
        learning_rate=state.schedule.get_last_lr()[-1],
        images_per_second=round(speed, 1),
    )


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, in megabytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
