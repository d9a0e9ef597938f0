"""Losses of the photo model, as functions of features.

Shapes: B photographs, T texts, P places of the last map, D joint space. Features are L2-normalized.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

PLACE_TEMPERATURE = 0.1
"""Sharpness of the soft maximum over places."""


def matching_loss(similarity: Tensor, matches: Tensor) -> Tensor:
    """Symmetric contrastive loss with several positives, each compared with all negatives but no other positive.

    Args:
        similarity: Logits [B, T].
        matches: [B, T]: 1 where text and photograph belong together, 0 where not, -1 where nobody knows.
    """
    return (_one_way(similarity, matches) + _one_way(similarity.T, matches.T)) / 2


def _one_way(similarity: Tensor, matches: Tensor) -> Tensor:
    negatives = similarity.masked_fill(matches != 0, -torch.inf).logsumexp(dim=1, keepdim=True)
    losses = F.softplus(negatives - similarity)
    is_positive = (matches == 1) & negatives.isfinite()
    per_row = losses.masked_fill(~is_positive, 0).sum(1) / is_positive.sum(1).clamp(min=1)
    counted: Tensor = is_positive.any(1)
    return per_row.sum() / counted.sum().clamp(min=1)


def best_places(places: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
    """Compare texts [T, D] with places [B, P, D]: soft maximum [B, T] of cosines, and its weights [B, T, P]."""
    cosines = F.normalize(places, dim=-1) @ texts.T
    weights = (cosines / PLACE_TEMPERATURE).softmax(dim=1)
    return (weights * cosines).sum(1), weights.transpose(1, 2)


def stay_visible(matches: Tensor, weights: Tensor, visible: Tensor) -> Tensor:
    """Decide which words a masked photograph still matches, from where the unmasked one matches them.

    Args:
        matches: Of the whole photograph [B, T]: 1, 0 or -1.
        weights: Share of each place in a match [B, T, P].
        visible: Visible share of each place [B, P].

    Returns:
        The matches [B, T] with positives turned to -1 where not most of their places are visible. They are not turned
        to 0: the share of masked pixels alone would then speak against common words.
    """
    share = (weights * visible[:, None]).sum(-1)
    return matches.masked_fill((matches == 1) & (share < 0.5), -1)


def locality_loss(masked: Tensor, places: Tensor, visible: Tensor, temperature: float = 0.07) -> Tensor:
    """Pull a masked photograph to the mean of the visible places in the whole one, away from the hidden ones.

    Args:
        masked: Features [B, D] of masked photographs.
        places: Vectors [B, P, D] of the whole photographs.
        visible: Visible share of each place [B, P].
        temperature: Divides the cosines.
    """
    inside = F.normalize((places * visible[..., None]).mean(1), dim=-1)
    outside = F.normalize((places * (1 - visible)[..., None]).mean(1), dim=-1)
    logits = torch.cat([masked @ inside.T, (masked * outside).sum(-1, keepdim=True)], dim=1) / temperature
    return F.cross_entropy(logits, torch.arange(len(masked)))


def imagenet_loss(similarity: Tensor, teacher: Tensor) -> Tensor:
    """Cross entropy of softmax logits [B, T] against a teacher's probabilities [B, T], weighted by its certainty."""
    certainty = teacher.amax(1)
    target = teacher / teacher.sum(1, keepdim=True).clamp(min=1e-6)
    return -(certainty * (target * similarity.log_softmax(1)).sum(1)).mean()
