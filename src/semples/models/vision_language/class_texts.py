"""Class texts: every phrase of a class inside every template, and the mean of their features."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

Phrases = str | Sequence[str]
"""One phrase of a class, or several."""


def class_texts(phrases: Phrases, templates: Sequence[str]) -> list[str]:
    """Return each phrase of a class inside each template."""
    each = [phrases] if isinstance(phrases, str) else phrases
    return [template.format(phrase) for phrase in each for template in templates]


def class_feature(features: Tensor, normalize: bool = True) -> Tensor:
    """Return the feature [D] of a class from the L2-normalized features [M, D] of its texts: their mean, normalized.

    This is CLIP's prompt ensembling (arXiv 2103.00020, section 3.1.4). The feature of a single text is returned
    unchanged.
    """
    if len(features) == 1:
        return features[0]
    mean = features.mean(0)
    return F.normalize(mean, dim=-1) if normalize else mean
