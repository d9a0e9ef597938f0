"""Batch normalization of batches with a single value per channel."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def allow_single_values(module: nn.Module) -> None:
    """Let batch normalization use its running statistics where a batch has one value per channel, without spread.

    A pooling pyramid makes such a batch of a single image, which may be the last batch of an epoch. Layers with an
    attribute ``handles_single_values`` that is true are left alone.
    """
    for part in module.modules():
        if isinstance(part, _BatchNorm):
            part.register_forward_pre_hook(_evaluate_single_value)


def _evaluate_single_value(norm: nn.Module, inputs: tuple[Tensor]) -> None:
    """Switch to evaluation mode for one forward pass if the input has a single value per channel."""
    if getattr(norm, "handles_single_values", False):
        return
    if not norm.training or inputs[0].numel() > inputs[0].shape[1]:
        return
    norm.eval()

    def back_to_training(*_: object) -> None:
        norm.train()
        hook.remove()

    hook = norm.register_forward_hook(back_to_training)
