"""Losses of the photo model, as functions of features.

Shapes: B photographs, T texts, D joint space. Features are L2-normalized.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


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


def locality_loss(masked: Tensor, visible: Tensor, hidden: Tensor, temperature: float = 0.07) -> Tensor:
    """Pull a masked photograph to the mean of its visible places in the whole one, away from that of the hidden ones.

    Args:
        masked: Features [B, D] of masked photographs.
        visible: Features [B, D] of the visible places.
        hidden: Features [B, D] of the hidden places.
        temperature: Divides the cosines.
    """
    logits = torch.cat([masked @ visible.T, (masked * hidden).sum(-1, keepdim=True)], dim=1) / temperature
    return F.cross_entropy(logits, torch.arange(len(masked)))


def imagenet_loss(similarity: Tensor, teacher: Tensor) -> Tensor:
    """Cross entropy of softmax logits [B, T] against a teacher's probabilities [B, T], weighted by its certainty."""
    certainty = teacher.amax(1)
    target = teacher / teacher.sum(1, keepdim=True).clamp(min=1e-6)
    return -(certainty * (target * similarity.log_softmax(1)).sum(1)).mean()
