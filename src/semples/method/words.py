"""Choosing words that describe what surrounds a class, without training.

Shapes: P (image, class) pairs, K classes, N words, D feature width.
"""

from __future__ import annotations

import torch
from torch import Tensor


def distant_words(words: Tensor, texts: Tensor, is_free: Tensor, share: float) -> Tensor:
    """Return which words belong to the share that is farthest from all classes.

    Args:
        words: Text features [N, D] of the words, L2-normalized.
        texts: Text features [K, D] of the classes, L2-normalized.
        is_free: Which words count, bool [N].
        share: Share of these words, above 0 up to 1; at least one is returned if there is one.

    Returns:
        Bool [N], false where a word does not count.
    """
    nearness = (words @ texts.T).amax(1).masked_fill(~is_free, float("inf"))  # [N], to the nearest class
    count = int(is_free.sum())
    kept = max(1, round(share * count)) if count else 0
    return torch.zeros_like(is_free).index_fill(0, nearness.topk(kept, largest=False).indices, True)


def word_contrast(background: Tensor, foreground: Tensor, classes: Tensor, words: Tensor, num_classes: int) -> Tensor:
    """Return how well each word tells the background of a class from its objects and from other classes' backgrounds.

    ``mean_c(X_b . w - X_f . w) + mean_c(X_b . w) - mean_{other classes}(X_b . w)``, where ``mean_c`` is the mean over
    the pairs of class c (``docs/method.md``, "Prompts of real words").

    Args:
        background: Features [P, D] of the regions outside of the masks, L2-normalized.
        foreground: Features [P, D] of the regions inside.
        classes: 0-based class [P] of each pair, int64.
        words: Text features [N, D] of the words, L2-normalized.
        num_classes: K.

    Returns:
        Contrast [K, N]; higher is better, and 0 for a class without pairs.
    """
    counts = torch.bincount(classes, minlength=num_classes).to(background)[:, None]  # [K, 1]

    def mean_by_class(features: Tensor) -> Tensor:
        sums = features.new_zeros(num_classes, features.shape[1]).index_add_(0, classes, features)
        return (sums / counts.clamp(min=1)) @ words.T  # [K, N]

    outside, inside = mean_by_class(background), mean_by_class(foreground)
    present = (counts > 0).to(background)
    others = (present * outside).sum(0) - present * outside
    mean_of_others = others / (present.sum() - present).clamp(min=1)
    # With a single class there are no others to compare with.
    elsewhere = torch.where(present.sum() - present > 0, outside - mean_of_others, 0.0)
    return present * (outside - inside + elsewhere)
