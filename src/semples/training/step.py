"""One optimizer step on a batch that processes share, and that each of them may compute in micro-batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from semples.method.losses import total
from semples.parallel.batch_norm import SynchronizedBatchNorm, synchronize_batch_norms
from semples.parallel.processes import all_reduce_sum, broadcast, rank, world_size
from semples.training.checkpoints import SHARE, TrainingState

LossParts = Mapping[str, Tensor]
"""Named weighted parts whose sum is the loss."""


@dataclass(frozen=True)
class StepResult:
    """Parts of the loss of one training step, and figures that are only logged.

    All are means over the items that ``fit``'s ``count`` counts. Where processes or micro-batches share a batch, their
    means are weighted by these counts.
    """

    parts: LossParts
    figures: Mapping[str, Tensor] | None = None


Step = Callable[[torch.nn.Module, Mapping[str, Tensor]], StepResult]
"""Computes the loss of a module on a batch that is on the device."""


def count_images(batch: Mapping[str, Tensor]) -> Tensor:
    """Return the number of images in a batch, 0-d."""
    values = next(iter(batch.values()))
    return torch.full((), len(values), device=values.device)


class _StepModule(torch.nn.Module):
    """A step as a module, so that DDP can wrap it.

    Only the loss carries gradients out of it, from which DDP finds the parameters in use.
    """

    def __init__(self, module: torch.nn.Module, step: Step) -> None:
        super().__init__()
        self.module, self.step = module, step

    def forward(self, batch: Mapping[str, Tensor]) -> StepResult:
        result = self.step(self.module, batch)
        return StepResult(result.parts, {name: value.detach() for name, value in (result.figures or {}).items()})


@dataclass(frozen=True)
class MicroBatchResult:
    """Result of one micro-batch.

    Attributes:
        result: Parts of the loss, and figures.
        loss: The loss, 0-d, without gradient.
        share: Share of the whole batch's items, 0-d, in [0, 1].
        index: Indices of its images in the data set, if the batch has them.
    """

    result: StepResult
    loss: Tensor
    share: Tensor
    index: Tensor | None


class BatchTrainer:
    """Does optimizer steps on batches that processes share, each process in micro-batches.

    Args:
        module: The module to train.
        step: Computes its loss on a micro-batch.
        count: Number of items in a micro-batch, 0-d, over which ``step`` averages.
        accelerator: Device and precision.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        step: Step,
        count: Callable[[Mapping[str, Tensor]], Tensor],
        accelerator: Accelerator,
    ) -> None:
        self.count, self.accelerator = count, accelerator
        self.step_module: torch.nn.Module = _StepModule(accelerator.prepare_model(module, evaluation_mode=True), step)
        self.batch_norms: list[SynchronizedBatchNorm] = []
        if world_size() > 1:
            self.batch_norms = synchronize_batch_norms(module)
            broadcast([*module.parameters(), *module.buffers()])
            torch.manual_seed(torch.initial_seed() + rank())  # each process draws its own random numbers

    def train(
        self, micro_batches: Sequence[Mapping[str, Tensor]], images: int, state: TrainingState
    ) -> list[MicroBatchResult]:
        """Do one optimizer step.

        Args:
            micro_batches: This process's share of a batch.
            images: Number of images in the share. If it is below the number of micro-batches, the last one holds a
                placeholder, which takes part in the computation with weight 0.
            state: Optimizer, schedule and moving average.
        """
        state.optimizer.zero_grad()
        counts = torch.stack([self.count(batch) * (number < images) for number, batch in enumerate(micro_batches)])
        shares = counts / all_reduce_sum(counts.sum()).clamp(min=1)
        results = []
        for number, (batch, share) in enumerate(zip(micro_batches, shares, strict=True)):
            for norm in self.batch_norms:
                norm.is_counted = number < images
            is_last = number + 1 == len(micro_batches)
            with nullcontext() if is_last else self._without_exchange():
                results.append(self._backward(batch, share))
        if world_size() > 1 and isinstance(self.step_module, _StepModule):
            self._wrap_in_ddp(self.step_module)
        state.optimizer.step()
        state.schedule.step()
        if state.average is not None:
            state.average.update()
        return results

    def _backward(self, batch: Mapping[str, Tensor], share: Tensor) -> MicroBatchResult:
        with self.accelerator.autocast():
            result = self.step_module(batch)
        loss = total(result.parts)
        self.accelerator.backward(loss * (share * world_size()))  # DDP averages over processes; the shares need a sum
        return MicroBatchResult(result, loss.detach(), share, batch.get("index"))

    def _without_exchange(self) -> AbstractContextManager[None]:
        """Accumulate gradients in this process; the backward pass of the last micro-batch exchanges the sum."""
        no_sync: Callable[[], AbstractContextManager[None]] = getattr(self.step_module, "no_sync", nullcontext)
        return no_sync()

    def _wrap_in_ddp(self, step_module: _StepModule) -> None:
        """Wrap the module in DDP after its first backward pass, and exchange the gradients of that pass by hand.

        The first gradients show what DDP has to know beforehand: whether the loss depends on all parameters.
        """
        trained = [parameter for parameter in step_module.parameters() if parameter.requires_grad]
        for parameter in trained:
            if parameter.grad is not None:
                parameter.grad = all_reduce_sum(parameter.grad / world_size())
        device = self.accelerator.device
        self.step_module = DistributedDataParallel(
            step_module,
            device_ids=[device] if device.type == "cuda" else None,
            find_unused_parameters=any(parameter.grad is None for parameter in trained),
        )


def weighted_values(results: Sequence[MicroBatchResult]) -> dict[tuple[str, str], Tensor]:
    """Return (kind, name) -> 0-d value of a step: this process's contribution to the means over the batch."""
    values: dict[tuple[str, str], Tensor] = {}
    for micro_batch in results:
        named = {("parts", name): value for name, value in micro_batch.result.parts.items()}
        named |= {("figures", name): value for name, value in (micro_batch.result.figures or {}).items()}
        named |= {("loss", "loss"): micro_batch.loss, SHARE: torch.ones_like(micro_batch.share)}
        for key, value in named.items():
            weighted = value.detach() * micro_batch.share
            values[key] = values[key] + weighted if key in values else weighted
    return values
