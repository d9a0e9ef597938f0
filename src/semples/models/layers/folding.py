"""Folding the batch normalization of frozen networks into the convolutions in front of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights


def fold_batch_norms(model: nn.Module, forward: Callable[[], Any]) -> int:
    """Remove batch normalization from a network in evaluation mode, for good and without changing its results.

    Normalization by running statistics is a scale and a shift per channel, which the convolution in front can absorb:
    the same function (up to rounding) with less to compute, forward and backward. One forward pass shows which
    convolution feeds which normalization; normalization fed by anything else stays. Networks that also use a
    convolution's output in front of its normalization cannot be folded.

    Args:
        model: The network, in evaluation mode and never trained again.
        forward: Runs the network once, on any input.

    Returns:
        Number of normalization layers folded.
    """
    feeding = _find_pairs(model, forward)
    for name, convolution in feeding.items():
        norm = model.get_submodule(name)
        assert isinstance(norm, nn.BatchNorm2d)
        weight, bias = fuse_conv_bn_weights(
            convolution.weight,
            convolution.bias,
            norm.running_mean,  # type: ignore[arg-type]
            norm.running_var,  # type: ignore[arg-type]
            norm.eps,
            norm.weight,
            norm.bias,
        )
        convolution.weight, convolution.bias = _frozen(weight), _frozen(bias)
        model.set_submodule(name, nn.Identity())
    return len(feeding)


def _frozen(parameter: Tensor) -> nn.Parameter:
    return nn.Parameter(parameter.detach(), requires_grad=False)


def _find_pairs(model: nn.Module, forward: Callable[[], Any]) -> dict[str, nn.Conv2d]:
    """Map the name of each batch normalization that is fed by a convolution and nothing else to that convolution."""
    # Outputs are recognized by their id. They are kept here, so that no id is reused during the pass.
    outputs: dict[int, tuple[nn.Conv2d, Tensor]] = {}
    pairs: dict[str, nn.Conv2d] = {}

    def note_output(module: nn.Module, _: Any, output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        outputs[id(output)] = module, output

    def note_input(name: str) -> Callable[[nn.Module, Any], None]:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if id(inputs[0]) in outputs:
                pairs[name] = outputs[id(inputs[0])][0]

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
