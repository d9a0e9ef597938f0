"""A mean over many items and its gradient, computed part by part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from semples.method.losses import total
from semples.training.step import StepResult


def mean_in_parts(mean: Callable[[Tensor, slice], StepResult], items: Tensor, size: int) -> StepResult:
    """Return the result of a step on all items, holding the autograd graph of at most ``size`` of them at a time.

    The gradient of each part with respect to its items is computed at once, which frees the part's graph; the mean then
    passes the collected gradient on. The results are equal to those of one pass, except for rounding, and no forward
    pass is repeated.

    Args:
        mean: From some items and their rows to parts of the loss and figures, all of them means over these items.
        items: Items [N, ...] that the loss depends on, N at least 1.
        size: Largest number of items in a part; up to as many are one pass without detour.

    Returns:
        The means over all items. Of several parts of the loss only the sum has the right gradient: the first part
        carries all of it.
    """
    count = len(items)
    if count <= size:
        return mean(items, slice(0, count))
    gradient = torch.zeros_like(items)
    parts: dict[str, Tensor] = {}
    figures: dict[str, Tensor] = {}
    for start in range(0, count, size):
        rows = slice(start, min(start + size, count))
        chunk = items[rows].detach().requires_grad_(items.requires_grad)
        result, share = mean(chunk, rows), len(chunk) / count
        if items.requires_grad:
            with torch.autocast(items.device.type, enabled=False):  # the passes back have the precision of those forth
                gradient[rows] = torch.autograd.grad(total(result.parts) * share, chunk)[0]
        for sums, means in ((parts, result.parts), (figures, result.figures or {})):
            for name, value in means.items():
                sums[name] = sums.get(name, 0.0) + value.detach() * share
    first = next(iter(parts))
    passed_on: Tensor = _WithGradient.apply(items, gradient, parts[first])  # type: ignore[no-untyped-call]
    parts[first] = passed_on
    return StepResult(parts, figures)


class _WithGradient(torch.autograd.Function):
    """A value whose gradient with respect to the items is known."""

    @staticmethod
    def forward(ctx: Any, items: Tensor, gradient: Tensor, value: Tensor) -> Tensor:  # noqa: ARG004
        ctx.save_for_backward(gradient)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * outputs[0], None, None
