"""Batch norm over a batch that several processes share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from semples.parallel.processes import all_reduce_sum


class SynchronizedBatchNorm(_BatchNorm):
    """Batch norm whose statistics, in training, are computed over the images of all processes.

    Unlike PyTorch's SyncBatchNorm it works on CPUs, and can leave out placeholder images. If the batch of all processes
    has one value per channel, which has no spread, it uses its running statistics.

    Attributes:
        is_counted: Whether this process's images enter the statistics; False for a placeholder.
        handles_single_values: Tells :func:`semples.models.layers.batch_norm.allow_single_values` to leave it alone:
            only this layer sees how many values the other processes have.
    """

    is_counted = True
    handles_single_values = True

    def forward(self, x: Tensor) -> Tensor:
        """Normalize [N, C, ...] by channel."""
        if not self.training:
            return super().forward(x)
        dims = [dim for dim in range(x.ndim) if dim != 1]
        values = x.float()
        number = torch.full((1,), float(self.is_counted) * x.numel() / x.shape[1], device=x.device)
        number = all_reduce_sum(number)  # [1], values per channel over all processes
        mean = _sum_over_processes(values.sum(dims) * self.is_counted) / number  # [C]
        mean = self._or_running(mean, self.running_mean, number)
        by_channel = (1, -1, *[1] * (x.ndim - 2))
        centered = values - mean.view(by_channel)
        squares = _sum_over_processes(centered.square().sum(dims) * self.is_counted)
        variance = self._or_running(squares / number, self.running_var, number)  # [C]
        self._update_running(mean.detach(), variance.detach() * number / (number - 1).clamp(min=1), number)
        normalized = centered * (variance + self.eps).rsqrt().view(by_channel)
        if self.affine:
            normalized = normalized * self.weight.view(by_channel) + self.bias.view(by_channel)
        return normalized.to(x.dtype)

    @staticmethod
    def _or_running(statistic: Tensor, running: Tensor | None, number: Tensor) -> Tensor:
        """Return the batch's statistic, or the running one, if there is one, for a single value per channel."""
        return statistic if running is None else torch.where(number > 1, statistic, running)

    @torch.no_grad()
    def _update_running(self, mean: Tensor, variance: Tensor, number: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += number[0] > 1
        momentum = 1 / max(1.0, float(self.num_batches_tracked)) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)

    def _check_input_dim(self, input: Tensor) -> None:
        """Accept every shape: the layer that this one replaces has accepted it already."""


def _sum_over_processes(values: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(values)  # type: ignore[no-untyped-call]
    return total


class _Sum(torch.autograd.Function):
    """Sum over processes with gradients: each process receives the sum of all processes' gradients."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        return all_reduce_sum(values)

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        return all_reduce_sum(gradients[0])


def synchronize_batch_norms(module: nn.Module) -> list[SynchronizedBatchNorm]:
    """Replace every batch-norm layer in place with one synchronized across processes, and return them."""
    found = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    for part in found:
        part.__class__ = SynchronizedBatchNorm
    return [part for part in found if isinstance(part, SynchronizedBatchNorm)]
