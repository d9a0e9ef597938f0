"""Batch normalisation over the batch that several processes share, and of batches of one value per channel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from semples.parallel.processes import summed


class SharedBatchNorm(_BatchNorm):
    """Batch normalisation whose statistics, in training, are those of the images of all processes.

    Unlike PyTorch's own it works on processors, and can leave out images that only stand in. Where all processes have
    one value per channel, which has no spread, it uses what it has learned (:func:`spare_single_values`).

    Attributes:
        counts: Whether the images of this process count.
    """

    counts = True

    def forward(self, x: Tensor) -> Tensor:
        """Normalise [N, C, ...] by channel."""
        if not self.training:
            return super().forward(x)
        dims = [dim for dim in range(x.ndim) if dim != 1]
        values = x.float()
        number = torch.full((1,), float(self.counts) * x.numel() / x.shape[1], device=x.device)
        number = summed(number)  # [1]
        mean = self._learned(self.running_mean, number, _total(values.sum(dims) * self.counts) / number)  # [C]
        by_channel = (1, -1, *[1] * (x.ndim - 2))
        centred = values - mean.view(by_channel)
        squares = _total(centred.square().sum(dims) * self.counts)
        variance = self._learned(self.running_var, number, squares / number)  # [C]
        self._remember(mean.detach(), variance.detach() * number / (number - 1).clamp(min=1), number)
        normed = centred * (variance + self.eps).rsqrt().view(by_channel)
        if self.affine:
            normed = normed * self.weight.view(by_channel) + self.bias.view(by_channel)
        return normed.to(x.dtype)

    @staticmethod
    def _learned(learned: Tensor | None, number: Tensor, found: Tensor) -> Tensor:
        """Take what was found in a batch, or in one of a single value per channel what was learned, if there is any."""
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
        """Take every shape: the layer that this one was has seen them."""


def _total(values: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(values)  # type: ignore[no-untyped-call]
    return total


class _Sum(torch.autograd.Function):
    """Sum over processes, through which gradients pass: each process gets the sum of theirs."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        return summed(values)

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        return summed(gradients[0])


def share_batch_norms(module: nn.Module) -> list[SharedBatchNorm]:
    """Turn the batch normalisations of a module, in place, into such that processes share; return them."""
    found = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    for part in found:
        part.__class__ = SharedBatchNorm
    return [part for part in found if isinstance(part, SharedBatchNorm)]


def spare_single_values(module: nn.Module) -> None:
    """Let batch normalisation use what it has learned where a batch has one value per channel, which has no spread.

    That is what a pooling pyramid makes of a batch of one image, such as the last of an epoch may be.
    """
    for part in module.modules():
        if isinstance(part, _BatchNorm):
            part.register_forward_pre_hook(_into_evaluation)


def _into_evaluation(norm: nn.Module, inputs: tuple[Tensor]) -> None:
    """Evaluate a single value, once; shared ones see for themselves what the other processes have."""
    if isinstance(norm, SharedBatchNorm) or not norm.training or inputs[0].numel() > inputs[0].shape[1]:
        return
    norm.eval()

    def back(*_: object) -> None:
        norm.train()
        hook.remove()

    hook = norm.register_forward_hook(back)
