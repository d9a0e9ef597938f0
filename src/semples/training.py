"""The only training loop: AdamW, cosine, mixed precision, logs. What differs between stages is passed in."""

from __future__ import annotations

import json
import math
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from semples.errors import RunError

Item = TypeVar("Item", covariant=True)


class Countable(Protocol[Item]):
    """Something to iterate over whose length is known: a list, a data loader."""

    def __iter__(self) -> Iterator[Item]: ...

    def __len__(self) -> int: ...


LossParts = Mapping[str, Tensor]
"""Named weighted parts whose sum is the loss."""


@dataclass(frozen=True)
class StepResult:
    """What one training step gives: the parts of the loss, and figures that are only logged."""

    parts: LossParts
    figures: Mapping[str, Tensor] | None = None


@dataclass(frozen=True)
class Fitting:
    """Length and optimiser of one training."""

    epochs: int
    learning_rate: float
    weight_decay: float
    warmup: float = 0.0


class TrainingLog:
    """Appends one JSON line per epoch to metrics.jsonl and shows progress on a terminal."""

    def __init__(self, path: Path | None = None, quiet: bool = True) -> None:
        self.path = path
        self.quiet = quiet or not sys.stderr.isatty()

    def start(self, stage: str) -> None:
        """Forget the lines of an earlier training of this stage."""
        if self.path is None or not self.path.is_file():
            return
        lines = self.path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if json.loads(line)["stage"] != stage]
        self.path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def write(self, **values: Any) -> None:
        """Append one line."""
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(values) + "\n")

    def progress(self) -> Progress:
        """Make a progress bar on standard error, hidden where that is no terminal."""
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
            transient=True,
            disable=self.quiet,
        )

    def track(self, items: Countable[Item], description: str) -> Iterator[Item]:
        """Iterate with a progress bar."""
        with self.progress() as progress:
            task = progress.add_task(description, total=len(items), note="")
            for item in items:
                yield item
                progress.advance(task)


def make_accelerator(device: str, precision: str) -> Accelerator:
    """Resolve "auto" settings: the first GPU if there is one, bf16 where a GPU has it.

    Args:
        device: "auto", "cpu", "cuda" or "mps".
        precision: "auto", "fp32" or "bf16".
    """
    on_cpu = device == "cpu" or (device == "auto" and not torch.cuda.is_available())
    if precision == "auto":
        has_bf16 = not on_cpu and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
        precision = "bf16" if has_bf16 else "fp32"
    return Accelerator(cpu=on_cpu, mixed_precision="no" if precision == "fp32" else precision)


def set_seed(seed: int) -> None:
    """Seed torch and numpy; each stage calls this with its own number, so that it can be run alone."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)


def rate_at(step: int, steps: int, warmup: float) -> float:
    """Factor on the learning rate: linear warm-up over a share of the steps, then cosine to 0."""
    rising = warmup * steps
    if step < rising:
        return (step + 1) / (rising + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def fit(
    stage: str,
    module: torch.nn.Module,
    step: Callable[[torch.nn.Module, Mapping[str, Tensor]], StepResult],
    groups: Sequence[tuple[list[torch.nn.Parameter], float]],
    loader: Any,
    fitting: Fitting,
    accelerator: Accelerator,
    log: TrainingLog,
    after_epoch: Callable[[int], None] | None = None,
) -> None:
    """Train ``module`` in place.

    Args:
        stage: Name in logs.
        module: What is trained; put into training mode.
        step: (module, batch on the device) -> parts of the loss.
        groups: Parameters to train, each list with a factor on the learning rate.
        loader: Batches; ``loader.dataset.epoch`` is set before each epoch where it exists.
        fitting: Epochs, learning rate, weight decay, warm-up.
        accelerator: Device and precision.
        log: Where losses go.
        after_epoch: Called with the number of epochs done.

    Raises:
        RunError: The loss is not finite.
    """
    optimizer = torch.optim.AdamW(
        [{"params": params, "lr": fitting.learning_rate * factor} for params, factor in groups if params],
        lr=fitting.learning_rate,
        weight_decay=fitting.weight_decay,
    )
    steps = fitting.epochs * len(loader)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda done: rate_at(done, steps, fitting.warmup))
    dataset = loader.dataset
    module, optimizer, loader = accelerator.prepare(module, optimizer, loader)
    log.start(stage)
    with log.progress() as progress:
        task = progress.add_task(f"{stage:9}", total=steps, note="")
        for epoch in range(fitting.epochs):
            if hasattr(dataset, "epoch"):
                dataset.epoch = epoch
            module.train()
            started, sums, images = time.perf_counter(), _Sums(), 0
            for batch in loader:
                with accelerator.autocast():
                    result = step(module, batch)
                loss = torch.stack(list(result.parts.values())).sum()
                optimizer.zero_grad()
                accelerator.backward(loss)
                optimizer.step()
                schedule.step()
                count = len(next(iter(batch.values())))
                sums.add(result, loss, count)
                images += count
                progress.update(task, advance=1, note=f"epoch {epoch + 1}/{fitting.epochs}")
            _write_epoch(stage, epoch, fitting, sums, images / (time.perf_counter() - started), schedule, log)
            if after_epoch is not None:
                after_epoch(epoch + 1)


class _Sums:
    """Means over an epoch, kept on the device so that no step waits for the logger."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str], Tensor] = {}
        self._weight = 0

    def add(self, result: StepResult, loss: Tensor, weight: int) -> None:
        named = {("parts", k): v for k, v in result.parts.items()}
        named |= {("figures", k): v for k, v in (result.figures or {}).items()}
        named["loss", "loss"] = loss
        for key, value in named.items():
            self._sums[key] = self._sums.get(key, torch.zeros_like(value)) + value.detach() * weight
        self._weight += weight

    def means(self) -> dict[str, dict[str, float]]:
        out: dict[str, dict[str, float]] = defaultdict(dict)
        for (kind, name), value in self._sums.items():
            out[kind][name] = float(value) / self._weight
        return out


def _write_epoch(
    stage: str, epoch: int, fitting: Fitting, sums: _Sums, speed: float, schedule: Any, log: TrainingLog
) -> None:
    means = sums.means()
    loss = means["loss"]["loss"]
    if not math.isfinite(loss):
        raise RunError(
            f"the loss of stage {stage} is {loss} in epoch {epoch + 1} (parts: {dict(means['parts'])}): "
            f"lower {stage}.learning_rate"
        )
    log.write(
        stage=stage,
        epoch=epoch + 1,
        epochs=fitting.epochs,
        loss=loss,
        parts=means["parts"],
        figures=means["figures"],
        learning_rate=schedule.get_last_lr()[-1],
        images_per_second=round(speed, 1),
    )


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, in megabytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
