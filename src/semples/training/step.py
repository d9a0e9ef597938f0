"""One step down the loss of a batch, which processes may share, and each of them compute in parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from semples.method.losses import total
from semples.parallel.batch_norm import SharedBatchNorm, share_batch_norms
from semples.parallel.processes import copy_from_first, rank, summed, world
from semples.training.checkpoints import SHARE, TrainingState

LossParts = Mapping[str, Tensor]
"""Named weighted parts whose sum is the loss."""


@dataclass(frozen=True)
class StepResult:
    """What one training step gives: the parts of the loss, and figures that are only logged.

    All are means over the items that ``fit``'s ``count`` counts: where processes or parts share a batch, they are put
    together by these numbers.
    """

    parts: LossParts
    figures: Mapping[str, Tensor] | None = None


Step = Callable[[torch.nn.Module, Mapping[str, Tensor]], StepResult]
"""What a training does with its module and a batch on the device."""


def count_images(batch: Mapping[str, Tensor]) -> Tensor:
    """Number of images of a batch, 0-d."""
    values = next(iter(batch.values()))
    return torch.full((), len(values), device=values.device)


class _Stepped(torch.nn.Module):
    """A step as a module, so that what it gives is the loss alone, by which DDP finds the parameters in use."""

    def __init__(self, module: torch.nn.Module, step: Step) -> None:
        super().__init__()
        self.module, self.step = module, step

    def forward(self, batch: Mapping[str, Tensor]) -> StepResult:
        result = self.step(self.module, batch)
        return StepResult(result.parts, {name: value.detach() for name, value in (result.figures or {}).items()})


@dataclass(frozen=True)
class Outcome:
    """What a part of a batch gave, its share of the batch's items (0-d), and the numbers of its images."""

    result: StepResult
    loss: Tensor
    share: Tensor
    index: Tensor | None


class Descent:
    """Takes steps down the loss of batches that processes share, each of them in parts."""

    def __init__(
        self,
        module: torch.nn.Module,
        step: Step,
        count: Callable[[Mapping[str, Tensor]], Tensor],
        accelerator: Accelerator,
    ) -> None:
        self.count, self.accelerator = count, accelerator
        self.stepped: torch.nn.Module = _Stepped(accelerator.prepare_model(module, evaluation_mode=True), step)
        self.batch_norms: list[SharedBatchNorm] = []
        if world() > 1:
            self.batch_norms = share_batch_norms(module)
            copy_from_first([*module.parameters(), *module.buffers()])
            torch.manual_seed(torch.initial_seed() + rank())  # each process draws its own random numbers

    def take(self, parts: Sequence[Mapping[str, Tensor]], own: int, state: TrainingState) -> list[Outcome]:
        """Take one step on this process's share of a batch.

        Args:
            parts: The parts of the share.
            own: Number of images in them that count; the part that it leaves without one is a stand-in.
            state: Optimiser, schedule and moving average.
        """
        state.optimizer.zero_grad()
        counts = torch.stack([self.count(part) * (number < own) for number, part in enumerate(parts)])
        portions = counts / summed(counts.sum()).clamp(min=1)
        outcomes = []
        for number, (part, portion) in enumerate(zip(parts, portions, strict=True)):
            for norm in self.batch_norms:
                norm.counts = number < own
            with self._apart() if number + 1 < len(parts) else nullcontext():
                outcomes.append(self._descend(part, portion))
        if world() > 1 and isinstance(self.stepped, _Stepped):
            self._distribute(self.stepped)
        state.optimizer.step()
        state.schedule.step()
        if state.average is not None:
            state.average.update()
        return outcomes

    def _descend(self, part: Mapping[str, Tensor], portion: Tensor) -> Outcome:
        with self.accelerator.autocast():
            result = self.stepped(part)
        loss = total(result.parts)
        self.accelerator.backward(loss * (portion * world()))  # DDP takes the mean over processes
        return Outcome(result, loss.detach(), portion, part.get("index"))

    def _apart(self) -> AbstractContextManager[None]:
        """Add gradients up in this process alone; the last part's backward pass exchanges them."""
        no_sync: Callable[[], AbstractContextManager[None]] = getattr(self.stepped, "no_sync", nullcontext)
        return no_sync()

    def _distribute(self, stepped: _Stepped) -> None:
        """Exchange the gradients of the first step, which tell what DDP has to know: whether the loss uses all."""
        trained = [parameter for parameter in stepped.parameters() if parameter.requires_grad]
        for parameter in trained:
            if parameter.grad is not None:
                parameter.grad = summed(parameter.grad / world())
        device = self.accelerator.device
        self.stepped = DistributedDataParallel(
            stepped,
            device_ids=[device] if device.type == "cuda" else None,
            find_unused_parameters=any(parameter.grad is None for parameter in trained),
        )


def values_of(outcomes: Sequence[Outcome]) -> dict[tuple[str, str], Tensor]:
    """Values of a step by kind and name: what this process adds to the means over the batch."""
    total: dict[tuple[str, str], Tensor] = {}
    for outcome in outcomes:
        named = {("parts", name): value for name, value in outcome.result.parts.items()}
        named |= {("figures", name): value for name, value in (outcome.result.figures or {}).items()}
        own = {("loss", "loss"): outcome.loss, SHARE: torch.ones_like(outcome.share)}
        for key, value in {**named, **own}.items():
            added = value.detach() * outcome.share
            total[key] = total[key] + added if key in total else added
    return total
