"""The learned background prompts, one per class."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PromptBank(nn.Module):
    """K learned prompts of L vectors each, in the text encoder's token-embedding space.

    Nothing else is trained in stage 2.

    Args:
        num_classes: K.
        length: L.
        width: W, the width of the token embedding.
        generator: Random generator of the initial values.
        deviation: Standard deviation of normally distributed initial values; None draws them uniformly from [0, 1), as
            in the paper.
    """

    def __init__(
        self,
        num_classes: int,
        length: int,
        width: int,
        generator: torch.Generator | None = None,
        deviation: float | None = None,
    ) -> None:
        super().__init__()
        shape = (num_classes, length, width)
        if deviation is None:
            values = torch.rand(shape, generator=generator)
        else:
            values = torch.randn(shape, generator=generator) * deviation
        self.vectors = nn.Parameter(values)

    def forward(self) -> Tensor:
        """Return the vectors [K, L, W]."""
        return self.vectors
