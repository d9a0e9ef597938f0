"""Batch normalisation of frozen networks, folded into the convolutions before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights


def fold_batch_norms(model: nn.Module, forward: Callable[[], Any]) -> int:
    """Take batch normalisation out of a network in evaluation mode, for good and without changing its results.

    A normalisation by running statistics is a scale and a shift per channel, and a convolution before it can hold
    both: the same function (up to rounding) with less to compute, forwards and backwards. Which convolution feeds
    which normalisation is seen in one forward pass; a normalisation that is fed by anything else stays. Networks that
    also use a convolution's output before its normalisation cannot be folded.

    Args:
        model: The network, in evaluation mode and not to be trained again.
        forward: Runs the network once, on any input.

    Returns:
        Number of normalisations folded.
    """
    feeding = _find_pairs(model, forward)
    for name, convolution in feeding.items():
        normalisation = model.get_submodule(name)
        assert isinstance(normalisation, nn.BatchNorm2d)
        weight, bias = fuse_conv_bn_weights(
            convolution.weight,
            convolution.bias,
            normalisation.running_mean,  # type: ignore[arg-type]
            normalisation.running_var,  # type: ignore[arg-type]
            normalisation.eps,
            normalisation.weight,
            normalisation.bias,
        )
        convolution.weight, convolution.bias = _frozen(weight), _frozen(bias)
        model.set_submodule(name, nn.Identity())
    return len(feeding)


def _frozen(parameter: Tensor) -> nn.Parameter:
    return nn.Parameter(parameter.detach(), requires_grad=False)


def _find_pairs(model: nn.Module, forward: Callable[[], Any]) -> dict[str, nn.Conv2d]:
    """Name of each batch normalisation that is fed by a convolution and nothing else -> that convolution."""
    made: dict[int, tuple[nn.Conv2d, Tensor]] = {}  # holds the tensors, so that no id is given twice
    pairs: dict[str, nn.Conv2d] = {}

    def note_output(module: nn.Module, _: Any, output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        made[id(output)] = module, output

    def note_input(name: str) -> Callable[[nn.Module, Any], None]:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if id(inputs[0]) in made:
                pairs[name] = made[id(inputs[0])][0]

        return hook

    hooks = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(note_output))
        elif isinstance(module, nn.BatchNorm2d) and module.track_running_stats:
            hooks.append(module.register_forward_pre_hook(note_input(name)))
    try:
        with torch.no_grad():
            forward()
    finally:
        for hook in hooks:
            hook.remove()
    return pairs
