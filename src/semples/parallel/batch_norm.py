"""Batch normalization over the batch that several processes share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from semples.parallel.processes import summed


class SharedBatchNorm(_BatchNorm):
    """Batch normalization that computes its training statistics over the images of all processes.

    Unlike PyTorch's own it works on CPUs, and can ignore the placeholder images of a process without a share. If all
    processes together have one value per channel, which has no spread, it uses its running statistics.

    Attributes:
        counts: Whether the images of this process count.
        handles_single_values: Tells :func:`semples.models.layers.batch_norm.allow_single_values` to leave it alone:
            only this layer sees how many values the other processes have.
    """

    counts = True
    handles_single_values = True

    def forward(self, x: Tensor) -> Tensor:
        """Normalize [N, C, ...] by channel."""
        if not self.training:
            return super().forward(x)
        dims = [dim for dim in range(x.ndim) if dim != 1]
        values = x.float()
        number = torch.full((1,), float(self.counts) * x.numel() / x.shape[1], device=x.device)
        number = summed(number)  # [1]
        mean = self._learned(self.running_mean, number, _total(values.sum(dims) * self.counts) / number)  # [C]
        by_channel = (1, -1, *[1] * (x.ndim - 2))
        centered = values - mean.view(by_channel)
        squares = _total(centered.square().sum(dims) * self.counts)
        variance = self._learned(self.running_var, number, squares / number)  # [C]
        self._remember(mean.detach(), variance.detach() * number / (number - 1).clamp(min=1), number)
        normed = centered * (variance + self.eps).rsqrt().view(by_channel)
        if self.affine:
            normed = normed * self.weight.view(by_channel) + self.bias.view(by_channel)
        return normed.to(x.dtype)

    @staticmethod
    def _learned(learned: Tensor | None, number: Tensor, found: Tensor) -> Tensor:
        """Choose a batch statistic, or the running one, if any, where the batch has a single value per channel."""
        return found if learned is None else torch.where(number > 1, found, learned)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, number: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += number[0] > 1
        momentum = 1 / max(1.0, float(self.num_batches_tracked)) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)

    def _check_input_dim(self, input: Tensor) -> None:
        """Accept every shape: the layer that this one replaces has checked it."""


def _total(values: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(values)  # type: ignore[no-untyped-call]
    return total


class _Sum(torch.autograd.Function):
    """Sum over processes that passes gradients on: each process gets the sum of all gradients."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        return summed(values)

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        return summed(gradients[0])


def share_batch_norms(module: nn.Module) -> list[SharedBatchNorm]:
    """Replace every batch-norm layer in place with one synchronized across processes, and return them."""
    found = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    for part in found:
        part.__class__ = SharedBatchNorm
    return [part for part in found if isinstance(part, SharedBatchNorm)]
