"""Mending prompts that became their own class, in closed form (``docs/method.md``, "Prompts that become the class").

Shapes: K classes, P (image, class) pairs, N words, D feature width.
"""

from __future__ import annotations

import torch
from torch import Tensor

_ROUNDING = 1e-3
"""Length of a remainder, of features of length 1, up to which it is rounding and has no direction."""


def without_class(prompts: Tensor, texts: Tensor) -> Tensor:
    """Remove from each prompt its component along the class text: ``normalize(p - (p . t) t)``.

    Args:
        prompts: Features [K, D], L2-normalized.
        texts: Features [K, D] of the classes' texts, L2-normalized.

    Returns:
        Features [K, D], L2-normalized, with a cosine of 0 with the class text; 0 where the prompt is nothing but the
        class text, or its opposite.
    """
    rest = prompts - (prompts * texts).sum(1, keepdim=True) * texts
    length = rest.norm(dim=1, keepdim=True)
    return torch.where(length > _ROUNDING, rest / length.clamp(min=_ROUNDING), 0.0)


def describes_backgrounds(features: Tensor, background: Tensor, classes: Tensor, words: Tensor) -> Tensor:
    """Return which features match the backgrounds of their class better than the words do on average.

    ``mean_c(X_b . f_c) > mean_c(mean over words of X_b . w)``. A direction that is left over by chance, and describes
    nothing, does not.

    Args:
        features: Features [K, D], one for each class.
        background: Features [P, D] of the regions outside of the masks.
        classes: 0-based class [P] of each pair, int64.
        words: Text features [N, D] of the words.

    Returns:
        Bool [K], false for a class without pairs.
    """
    sums = torch.zeros_like(features).index_add_(0, classes, background)  # their signs are those of the means
    return (sums * (features - words.mean(0))).sum(1) > 0
