"""How many images a model encodes in one pass within a bound on memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

CPU_BUDGET = 2**30
"""Bytes that the activations of one pass may keep for the backward pass on a CPU. A constant, because the size of a
batch may change the last bits of its results."""
GPU_SHARE = 8
"""On a GPU, one part in this many of its memory: GPUs need large batches."""


def bytes_kept(model: nn.Module, encode: Callable[[Tensor], Tensor], image: Tensor) -> int:
    """Measure the memory that one forward pass keeps for the backward pass to the image, without the model's weights.

    Args:
        model: The model, in evaluation mode.
        encode: Runs it.
        image: Pixels [1, 3, H, W].
    """
    weights = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    kept: dict[int, Tensor] = {}  # the tensors too, so that no address is used twice

    def note(tensor: Tensor) -> None:
        kept[tensor.untyped_storage().data_ptr()] = tensor.detach()

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(note, lambda _: torch.empty(0)):
        encode(image.detach().clone().requires_grad_())
    return sum(tensor.untyped_storage().nbytes() for address, tensor in kept.items() if address not in weights)


def images_within_budget(bytes_per_image: float, device: torch.device) -> int:
    """Return how many images, at least one, fit into the budget of a device."""
    budget = CPU_BUDGET
    if device.type == "cuda":
        budget = torch.cuda.get_device_properties(device).total_memory // GPU_SHARE
    return max(1, int(budget // max(1.0, bytes_per_image)))


def in_parts(encode: Callable[[Tensor], Tensor], images: Tensor, size: int) -> Tensor:
    """Encode images [B, ...] in parts of at most ``size`` images; a batch of up to ``size`` in one pass."""
    if len(images) <= size:
        return encode(images)
    return torch.cat([encode(part) for part in images.split(size)])
