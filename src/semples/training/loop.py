"""The only training loop: AdamW, schedule, mixed precision, logs. Stages pass in everything they do differently."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from semples.parallel.batches import sharded_loader
from semples.parallel.processes import broadcast_flag
from semples.rundir.metrics import EpochMetrics
from semples.training.checkpoints import Checkpoint, TrainingState
from semples.training.ema import MovingAverage
from semples.training.finite_check import FiniteCheck
from semples.training.progress import TrainingLog
from semples.training.schedule import Schedule, learning_rate_factor
from semples.training.step import BatchTrainer, Step, StepResult, count_images, weighted_values

__all__ = ["StepResult", "TrainingOptions", "fit"]

ParameterGroups = Sequence[tuple[list[torch.nn.Parameter], float]]
"""Parameters to train, each list with its factor on the learning rate."""


@dataclass(frozen=True)
class TrainingOptions:
    """Length and optimizer settings of one training.

    Attributes:
        epochs: Passes over the loader.
        learning_rate: Peak rate of AdamW.
        weight_decay: Decoupled weight decay.
        warmup: Share of the steps over which the rate rises linearly.
        section: Section of the settings that these come from, for errors; empty for the stage's name.
        schedule: How the rate falls after the warm-up: "cosine" or "poly".
        ema: Decay of the moving average that replaces the weights at the end; 0 keeps the last weights.
        accumulation: Number of micro-batches that each process computes one after the other, to save memory.
    """

    epochs: int
    learning_rate: float
    weight_decay: float
    warmup: float = 0.0
    section: str = ""
    schedule: Schedule = "cosine"
    ema: float = 0.0
    accumulation: int = 1


def fit(
    stage: str,
    module: torch.nn.Module,
    step: Step,
    groups: ParameterGroups,
    loader: Any,
    options: TrainingOptions,
    accelerator: Accelerator,
    log: TrainingLog,
    checkpoint: Checkpoint | None = None,
    after_epoch: Callable[[], Any] | None = None,
    history: list[Any] | None = None,
    count: Callable[[Mapping[str, Tensor]], Tensor] = count_images,
) -> None:
    """Train ``module`` in place, from its last checkpoint if there is one.

    Every batch is split over the processes, and each process may split its share into micro-batches. Gradients and logs
    equal those of one process that sees the whole batch, except for batch statistics, which each micro-batch has alone.

    Args:
        stage: Name in logs.
        module: The module to train; put into training mode.
        step: (module, batch on the device) -> parts of the loss.
        groups: Parameters to train, each list with its factor on the learning rate.
        loader: Batches, shuffled by ``loader.generator``, whose state is part of a checkpoint. If they exist,
            ``loader.dataset.epoch`` is set before each epoch, and ``loader.dataset.ids`` names the images by the
            ``index`` in a batch.
        options: Epochs, learning rate, weight decay, warm-up.
        accelerator: Device and precision.
        log: Receives the losses.
        checkpoint: Keeps the state; None keeps nothing.
        after_epoch: Called after each epoch; returns tensors or plain values.
        history: Receives the values that ``after_epoch`` returns; after a resume it also holds those of earlier epochs.
        count: Number of items, 0-d, over which ``step`` averages in a batch.

    Raises:
        RunError: The loss is not finite, or the checkpoint cannot be written.
    """
    optimizer, schedule = _make_optimizer(groups, options, options.epochs * len(loader))
    dataset, order = loader.dataset, loader.generator or torch.default_generator
    sampler, loader = sharded_loader(loader, options.accumulation, accelerator)
    trainer = BatchTrainer(module, step, count, accelerator)
    average = MovingAverage(module, options.ema) if options.ema else None
    optimizer, entries = accelerator.prepare(optimizer), [] if history is None else history
    state = TrainingState(module, optimizer, schedule, order, entries, average)
    checkpoint = checkpoint or Checkpoint()
    _resume(stage, state, checkpoint, log)
    finite = FiniteCheck(stage, module, options.section or stage, getattr(dataset, "ids", None))
    with log.training(stage, options.epochs, len(loader), state.epoch * len(loader) + state.step) as progress:
        while state.epoch < options.epochs:
            if hasattr(dataset, "epoch"):
                dataset.epoch = state.epoch
            module.train()
            started, images = time.perf_counter(), 0
            for micro_batches in state.batches(loader):
                results = trainer.train(micro_batches, sampler.local_size(state.step), state)
                batch_size = sampler.global_size(state.step)
                images += batch_size
                state.end_step(weighted_values(results), batch_size)
                finite.add(state, results)
                progress.advance(batch_size, state.sums.local_means)
                if broadcast_flag(checkpoint.is_due()):
                    finite.check()  # a checkpoint never holds weights that are not finite
                    checkpoint.save(state.collect())
            finite.check()
            _write_epoch(stage, options, state, images / (time.perf_counter() - started), log)
            state.end_epoch(None if after_epoch is None else after_epoch())
            if state.epoch == options.epochs or broadcast_flag(checkpoint.is_due()):
                checkpoint.save(state.collect())
    if average is not None:
        average.apply()


def _make_optimizer(
    groups: ParameterGroups, options: TrainingOptions, steps: int
) -> tuple[torch.optim.AdamW, torch.optim.lr_scheduler.LambdaLR]:
    optimizer = torch.optim.AdamW(
        [{"params": params, "lr": options.learning_rate * factor} for params, factor in groups if params],
        lr=options.learning_rate,
        weight_decay=options.weight_decay,
    )

    def factor(done: int) -> float:
        return learning_rate_factor(done, steps, options.warmup, options.schedule)

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def _resume(stage: str, state: TrainingState, checkpoint: Checkpoint, log: TrainingLog) -> None:
    """Restore the last checkpoint, and drop the log's lines of later epochs."""
    saved = checkpoint.load(log.message)
    if saved is not None:
        state.restore(saved, checkpoint.path)
        log.message(f"{stage:16} resumes after epoch {state.epoch}, step {state.step}")
    log.start(stage, state.epoch)


def _write_epoch(stage: str, options: TrainingOptions, state: TrainingState, speed: float, log: TrainingLog) -> None:
    means = state.sums.means()
    metrics = EpochMetrics(
        stage=stage,
        epoch=state.epoch + 1,
        epochs=options.epochs,
        loss=means["loss"]["loss"],
        parts=means["parts"],
        figures=means["figures"],
        learning_rate=state.schedule.get_last_lr()[-1],
        images_per_second=round(speed, 1),
    )
    log.write(metrics)
