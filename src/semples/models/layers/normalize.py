"""Normalization of pixels by the statistics of a model's preprocessing."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Normalize(nn.Module):
    """Subtract the mean color of pixels [B, 3, H, W] and divide by their standard deviation.

    The statistics belong to the checkpoint's preprocessing, so they are not part of the state dict.

    Args:
        mean: Mean color, RGB in [0, 1].
        std: Standard deviation, RGB, above 0.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalize pixels in [0, 1]."""
        return (pixels - self.mean) / self.std
