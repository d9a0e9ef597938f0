"""The learned background prompts, one per class."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PromptBank(nn.Module):
    """K learned prompts of L vectors each, in the text encoder's token-embedding space.

    The only trainable thing of stage 2; initialised uniform in [0, 1) as in the paper.

    Args:
        num_classes: K.
        length: L.
        width: W, the width of the token embedding.
        generator: Source of the initial values.
    """

    def __init__(self, num_classes: int, length: int, width: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.rand(num_classes, length, width, generator=generator))

    def forward(self) -> Tensor:
        """Return the vectors [K, L, W]."""
        return self.vectors
