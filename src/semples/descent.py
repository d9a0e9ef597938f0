"""One step down the loss of a batch, which processes may share, and each of them compute in parts."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor

from semples.batches import BatchShare, split_batch
from semples.checkpoints import TrainingState
from semples.distributed import rank, summed, world

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
        accumulation: int,
        accelerator: Accelerator,
    ) -> None:
        self.count, self.accumulation, self.accelerator = count, accumulation, accelerator
        self.stepped: torch.nn.Module = _Stepped(accelerator.prepare_model(module, evaluation_mode=True), step)
        if world() > 1:
            self.stepped = _distribute(self.stepped, accelerator)

    def take(self, batch: Mapping[str, Tensor], shares: BatchShare, state: TrainingState) -> list[Outcome]:
        """Take one step on this process's share of a batch."""
        state.optimizer.zero_grad()
        parts = split_batch(batch, shares.own(state.step), shares.parts(state.step, self.accumulation))
        counts = torch.stack([self.count(part) * counts for part, counts in parts])
        portions = counts / summed(counts.sum()).clamp(min=1)
        outcomes = []
        for number, ((part, _), portion) in enumerate(zip(parts, portions, strict=True), start=1):
            with self._apart() if number < len(parts) else nullcontext():
                outcomes.append(self._descend(part, portion))
        state.optimizer.step()
        state.schedule.step()
        return outcomes

    def _descend(self, part: Mapping[str, Tensor], portion: Tensor) -> Outcome:
        with self.accelerator.autocast():
            result = self.stepped(part)
        loss = torch.stack(list(result.parts.values())).sum()
        self.accelerator.backward(loss * (portion * world()))  # DDP takes the mean over processes
        return Outcome(result, loss.detach(), portion, part.get("index"))

    def _apart(self) -> AbstractContextManager[None]:
        """Add gradients up in this process alone; the last part's backward pass exchanges them."""
        no_sync: Callable[[], AbstractContextManager[None]] = getattr(self.stepped, "no_sync", nullcontext)
        return no_sync()


def _distribute(module: torch.nn.Module, accelerator: Accelerator) -> torch.nn.Module:
    """Wrap a module so that gradients are means over processes, each of which draws its own random numbers."""
    torch.manual_seed(torch.initial_seed() + rank())
    device = accelerator.device
    if device.type == "cuda":
        module = torch.nn.SyncBatchNorm.convert_sync_batchnorm(module)
    # Backbones have poolers, and segmentation networks auxiliary heads, that no loss reaches; where there are none,
    # DDP says so once in each process.
    warnings.filterwarnings("ignore", message="find_unused_parameters=True was specified")
    return torch.nn.parallel.DistributedDataParallel(
        module,
        device_ids=[device] if device.type == "cuda" else None,
        broadcast_buffers=False,
        find_unused_parameters=True,
    )


def values_of(outcomes: Sequence[Outcome]) -> dict[tuple[str, str], Tensor]:
    """Values of a step by kind and name: what this process adds to the means over the batch."""
    total: dict[tuple[str, str], Tensor] = {}
    for outcome in outcomes:
        named = {("parts", name): value for name, value in outcome.result.parts.items()}
        named |= {("figures", name): value for name, value in (outcome.result.figures or {}).items()}
        for key, value in {**named, ("loss", "loss"): outcome.loss}.items():
            added = value.detach() * outcome.share
            total[key] = total[key] + added if key in total else added
    return total
