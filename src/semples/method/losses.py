"""The losses of ``docs/method.md`` as pure functions of features and logits.

Shapes: P (image, class) pairs whose label is 1, D feature width, B images, K object classes.
The caller L2-normalizes the features. Every loss is a mean over the P pairs and returns a dict of named parts, already
weighted, whose sum is the loss (:func:`total`), so that each part can be logged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from semples.errors import did_you_mean
from semples.records import IGNORE_INDEX

Score = Literal["cosine", "sigmoid"]
"""How features are compared: ``cosine`` as in the paper, for CLIP; ``sigmoid`` for models trained with a sigmoid."""

CLAMP = 1e-4
"""Cosines are clamped to [CLAMP, 1 - CLAMP] before the logarithm; outside that range their gradient is zero."""


@dataclass(frozen=True, eq=False)
class MatchScore:
    """The match score s(a, b) of two features, available through its logarithms.

    ``cosine``: s = clamp(cos(a, b), 1e-4, 1 - 1e-4). ``sigmoid``: s = sigmoid(scale * cos(a, b) + bias), computed with
    logsigmoid and without a clamp (``docs/method.md``, Notation). Half-precision features are scored in float32, which
    distinguishes 1 - 1e-4 from 1.

    Attributes:
        kind: ``"cosine"`` or ``"sigmoid"``.
        scale: Multiplier of the cosine (not its logarithm), a number or 0-d tensor; used by ``sigmoid`` only.
        bias: Number or 0-d tensor added after the scale; used by ``sigmoid`` only.
        clamp: Cosines are clamped to [clamp, 1 - clamp]; used by ``cosine`` only.
    """

    kind: Score = "cosine"
    scale: float | Tensor = 1.0
    bias: float | Tensor = 0.0
    clamp: float = CLAMP

    def __post_init__(self) -> None:
        known = get_args(Score)
        if self.kind not in known:
            raise ValueError(
                f"match score {self.kind!r} does not exist; expected one of {', '.join(known)}"
                + did_you_mean(self.kind, known)
            )

    def log(self, a: Tensor, b: Tensor) -> Tensor:
        """Return log s(a, b) of L2-normalized features [..., D] and [..., D] as [...]."""
        if self.kind == "sigmoid":
            return F.logsigmoid(self._logit(a, b))
        return self._clamped(cosine(a, b)).log()

    def log_not(self, a: Tensor, b: Tensor) -> Tensor:
        """Return log(1 - s(a, b)) of L2-normalized features [..., D] and [..., D] as [...]."""
        if self.kind == "sigmoid":
            return F.logsigmoid(-self._logit(a, b))
        return torch.log1p(-self._clamped(cosine(a, b)))

    def clamped_share(self, a: Tensor, b: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the share of pairs (0-d, in [0, 1], no gradient) whose gradient the clamp sets to zero.

        Args:
            a: Features [P, D], L2-normalized.
            b: Features [P, D], L2-normalized.
            weights: Weights [P', N] of the pairs, as in :func:`suppress_loss`, P' * N = P; None weighs all alike.

        Raises:
            ValueError: If the features differ in shape, there is no pair, or the weights are not P.
        """
        _check_pairs(a=a, b=b)
        similarity = cosine(a, b)
        if self.kind == "sigmoid":
            return torch.zeros_like(similarity).mean()
        return _mean((similarity != self._clamped(similarity)).to(similarity.dtype), weights)

    def _clamped(self, similarity: Tensor) -> Tensor:
        return similarity.clamp(self.clamp, 1 - self.clamp)

    def _logit(self, a: Tensor, b: Tensor) -> Tensor:
        return self.scale * cosine(a, b) + self.bias


TEXT_SCORE = MatchScore("cosine")
"""Similarity of two texts, s(t_c, p_c): the clamped cosine, whichever score images use (``docs/method.md``)."""


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Return the cosine of L2-normalized features [..., D] and [..., D] as [...], in float32 or better."""
    dtype = torch.promote_types(torch.promote_types(a.dtype, b.dtype), torch.float32)
    return (a.to(dtype) * b.to(dtype)).sum(-1)


def match_loss(
    foreground: Tensor, background: Tensor, texts: Tensor, score: MatchScore, lambda_background: float
) -> dict[str, Tensor]:
    """Return the loss of segment-label matching: the foreground matches its class text, the background does not.

    ``-log s(E_I(X_f), t_c) + lambda_b * (-log(1 - s(E_I(X_b), t_c)))``, stages 1 and 3 of ``docs/method.md``.

    Args:
        foreground: Image features [P, D] of the foreground regions X_f.
        background: Image features [P, D] of the background regions X_b.
        texts: Text features [P, D] of each pair's class.
        score: How image and text are compared.
        lambda_background: Weight of the background part.

    Returns:
        0-d parts ``match_foreground`` and ``match_background``.

    Raises:
        ValueError: If the features differ in shape or there is no pair.
    """
    _check_pairs(foreground=foreground, background=background, texts=texts)
    return {
        "match_foreground": -score.log(foreground, texts).mean(),
        "match_background": -lambda_background * score.log_not(background, texts).mean(),
    }


def prompt_loss(
    background: Tensor,
    texts: Tensor,
    prompts: Tensor,
    score: MatchScore,
    lambda_text: float,
    text_score: MatchScore = TEXT_SCORE,
) -> dict[str, Tensor]:
    """Return the loss of contrastive prompt learning: the prompt matches the background and not the class text.

    ``-log s(E_I(X_b), p_c) + lambda_t * log s(t_c, p_c)``, stage 2 of ``docs/method.md``. The second score is always
    the clamped cosine, and its part is negative.

    Args:
        background: Image features [P, D] of the background regions X_b.
        texts: Text features [P, D] of each pair's class.
        prompts: Prompt features [P, D] of each pair's class.
        score: How image and prompt are compared.
        lambda_text: Weight of the term that pushes the prompt away from the class text.
        text_score: How the two texts are compared.

    Returns:
        0-d parts ``pull`` and ``push``.

    Raises:
        ValueError: If the features differ in shape or there is no pair.
    """
    _check_pairs(background=background, texts=texts, prompts=prompts)
    return {
        "pull": -score.log(background, prompts).mean(),
        "push": lambda_text * text_score.log(texts, prompts).mean(),
    }


def suppress_loss(
    foreground: Tensor, prompts: Tensor, score: MatchScore, lambda_suppress: float, weights: Tensor | None = None
) -> dict[str, Tensor]:
    """Return the loss of prompt-guided refinement: the foreground does not match the learned background prompt.

    ``lambda_r * (-log(1 - s(E_I(X_f), p_c)))``, added to the match loss in stage 3 of ``docs/method.md``. Where a class
    has several backgrounds, the mean over them takes the place of the one term.

    Args:
        foreground: Image features [P, D] of the foreground regions X_f; [P * N, D] with weights, each repeated N times.
        prompts: Prompt features [P, D] of each pair's class; [P * N, D] with weights.
        score: How image and prompt are compared.
        lambda_suppress: Weight of the loss.
        weights: Weights [P, N] of a pair's N backgrounds, of sum 1 for each pair; 0 leaves a background out. All 0
            leave the pair without this term; it still counts in the mean over P, as in the match loss, so that the
            other pairs keep their balance of match and suppression.

    Returns:
        The 0-d part ``suppress``.

    Raises:
        ValueError: If the features differ in shape, there is no pair, or the weights are not as many as the features.
    """
    _check_pairs(foreground=foreground, prompts=prompts)
    return {"suppress": -lambda_suppress * _mean(score.log_not(foreground, prompts), weights)}


def classification_loss(logits: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
    """Return the multi-label soft margin loss of every logit head, stage 0 of ``docs/method.md``.

    Args:
        logits: Logits [B, K] of each head, by name.
        labels: Image-level labels [B, K], 0 or 1, of any dtype.

    Returns:
        One 0-d part per head, under the head's name: a mean over images and classes.

    Raises:
        ValueError: If there is no head, or the shape of a head differs from the labels.
    """
    if not logits:
        raise ValueError("the mask generator returned no logits; classification needs at least one head [B, K]")
    return {head: _soft_margin(head, values, labels) for head, values in logits.items()}


def pixel_cross_entropy(logits: Tensor, masks: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the weighted cross entropy of the labeled pixels, stage 5 of ``docs/method.md``.

    ``sum over labeled i of w_i * (-log softmax(logits)_i[m_i]) / number of labeled i``. Dividing by the number rather
    than by the sum of the weights lets a batch of uncertain labels have a small loss.

    Args:
        logits: Logits [B, C, H, W].
        masks: Labels [B, H, W], int64, 255 for ignored pixels.
        weights: Weights w [B, H, W] in [0, 1]; None for 1 everywhere.

    Returns:
        The 0-d loss, 0 if no pixel is labeled.

    Raises:
        ValueError: If the weights do not fit the masks.
    """
    if weights is not None and weights.shape != masks.shape:
        raise ValueError(f"weights have shape {tuple(weights.shape)}, expected the masks' shape {tuple(masks.shape)}")
    labeled = (masks != IGNORE_INDEX).sum().clamp(min=1)
    if weights is None:
        return F.cross_entropy(logits, masks, ignore_index=IGNORE_INDEX, reduction="sum") / labeled
    losses = F.cross_entropy(logits, masks, ignore_index=IGNORE_INDEX, reduction="none")
    return (losses * weights).sum() / labeled


def total(parts: Mapping[str, Tensor]) -> Tensor:
    """Return the loss: the 0-d sum of its named parts.

    Raises:
        ValueError: If there is no part.
    """
    if not parts:
        raise ValueError("a loss has no parts, expected at least one")
    return torch.stack(tuple(parts.values())).sum()


def _soft_margin(head: str, logits: Tensor, labels: Tensor) -> Tensor:
    if logits.shape != labels.shape:
        raise ValueError(
            f"logits of head {head!r} have shape {tuple(logits.shape)}, "
            f"expected the labels' shape {tuple(labels.shape)}"
        )
    values = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return F.multilabel_soft_margin_loss(values, labels.to(values.dtype))


def _mean(values: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean of values [P], or with weights [P', N], P' * N = P, the mean over P' of the weighted sums.

    The weighted values are summed pair by pair first: a pair with one weight of 1 contributes its value to the bit.
    """
    if weights is None:
        return values.mean()
    if weights.numel() != values.numel():
        raise ValueError(f"weights have shape {tuple(weights.shape)}, expected {values.numel()} of them")
    return (values.view_as(weights) * weights).sum(1).mean()


def _check_pairs(**features: Tensor) -> None:
    """Reject different shapes, which would broadcast, and an empty set of pairs, which has no mean."""
    shapes = {name: tuple(tensor.shape) for name, tensor in features.items()}
    if len(set(shapes.values())) > 1 or any(len(shape) != 2 for shape in shapes.values()):
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"features of the pairs have shapes {listed}, expected the same [P, D] for all")
    if 0 in next(iter(shapes.values())):
        raise ValueError("no (image, class) pair to average over; leave out batches without labels")
