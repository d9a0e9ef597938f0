"""The learned background prompts, one per class."""

from __future__ import annotations

import torch
import torch.nn.functional as F
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


class WordMixtures(nn.Module):
    """K prompts that are mixtures of real words: they cannot leave the vocabulary, and can always be read.

    Args:
        num_classes: K.
        words: Text features [N, D] of the words, L2-normalized.
        allowed: Which words the prompt of each class may use, [K, N], bool; at least one for each class.
    """

    words: Tensor
    allowed: Tensor

    def __init__(self, num_classes: int, words: Tensor, allowed: Tensor) -> None:
        super().__init__()
        self.register_buffer("words", words, persistent=False)
        self.register_buffer("allowed", allowed, persistent=False)
        self.logits = nn.Parameter(words.new_zeros(num_classes, len(words)))

    def forward(self) -> Tensor:
        """Return the L2-normalized features [K, D]: the mean of the words, weighted by a softmax over the logits."""
        weights = self.logits.masked_fill(~self.allowed, float("-inf")).softmax(1)
        return F.normalize(weights @ self.words, dim=1)
