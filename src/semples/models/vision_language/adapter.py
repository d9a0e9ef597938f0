"""The contract of adapters, which hold everything that differs between kinds of vision-language models.

Shapes: B images, N texts, T tokens, W width of the token embedding, C channels, D joint space, h x w patches or feature
cells.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from semples.errors import ModelError

ScoreKind = Literal["cosine", "sigmoid"]
DenseAttention = Literal["plain", "value", "query_key"]
"""How places look at each other in the last attention of the image tower (:meth:`Adapter.dense_features`)."""


@dataclass(frozen=True)
class CutForward:
    """A forward pass of the image tower, cut in two where Grad-CAM looks.

    Attributes:
        activations: [B, T, C], where the gradient starts; the last h * w tokens are the patches, row by row.
        features: Image features [B, D], L2-normalized, a function of the activations alone.
        grid: Rows and columns (h, w).
        affinity: Attention between patches [B, h * w, h * w], mean over heads and last blocks; None without attention.
    """

    activations: Tensor
    features: Tensor
    grid: tuple[int, int]
    affinity: Tensor | None = None


class Adapter(ABC):
    """One kind of vision-language model: how to run its towers, and how it was trained.

    Args:
        model: The transformers model.
        tokenizer: Its tokenizer.
    """

    score: ClassVar[ScoreKind] = "cosine"
    """Match score that the kind was trained with."""
    mean: ClassVar[tuple[float, float, float]] = (0.5, 0.5, 0.5)
    """Mean color (RGB in [0, 1]) that the kind was published with, for folders without a preprocessor_config.json."""
    std: ClassVar[tuple[float, float, float]] = (0.5, 0.5, 0.5)
    """Standard deviation that belongs to the mean."""
    dense_attentions: ClassVar[tuple[DenseAttention, ...]] = ()
    """Attentions that :meth:`dense_features` knows, the default first; empty for a tower without attention."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer

    @property
    def logit_scale(self) -> float:
        """Factor on cosines in front of the softmax over texts, as the model was trained."""
        return float(self.model.logit_scale.exp())

    @abstractmethod
    def image_features(self, pixels: Tensor) -> Tensor:
        """Encode normalized pixels [B, 3, S, S] to features [B, D] as the projection returns them."""

    @abstractmethod
    def text_features(self, embeddings: Tensor, ends: Tensor) -> Tensor:
        """Encode token embeddings [N, T, W] to features [N, D] as the projection returns them.

        Args:
            embeddings: With the start and end tokens of each text.
            ends: Position [N] of the last token of each text, as :meth:`end_positions` returns it.
        """

    @abstractmethod
    def end_positions(self, tokens: Tensor) -> Tensor:
        """Find the position [N] of the last token that the text tower needs of each text in token ids [N, T]."""

    @abstractmethod
    def cut(self, pixels: Tensor) -> CutForward:
        """Run the image tower on normalized pixels [B, 3, H, W] of any size, with gradients down to the cut only."""

    @property
    @abstractmethod
    def cell(self) -> int:
        """Side in pixels of a place of :meth:`dense_features`."""

    @abstractmethod
    def dense_features(self, pixels: Tensor, attention: DenseAttention | None = None) -> Tensor:
        """Encode each place of normalized pixels [B, 3, H, W] of any size to the joint space, not L2-normalized.

        Images are resized as for :meth:`cut`.

        Args:
            pixels: The images.
            attention: One of ``dense_attentions``; None takes the first.

        Returns:
            Features [B, h, w, D].

        Raises:
            ModelError: The tower does not know that attention, or lacks a part.
        """

    def checked_attention(self, attention: DenseAttention | None) -> DenseAttention | None:
        """Return an attention that :meth:`dense_features` knows; None becomes the default of this kind, if it has one.

        Raises:
            ModelError: The tower does not know that attention.
        """
        if attention is None:
            return self.dense_attentions[0] if self.dense_attentions else None
        if attention not in self.dense_attentions:
            known = "".join(f"{name}, " for name in self.dense_attentions)
            raise ModelError(
                f"mask_generator.attention: {attention} does not fit this {self.model.config.model_type}; "
                f"set it to {known and f'one of {known}or '}null"
            )
        return attention

    def padding(self, room: int) -> list[int]:  # noqa: ARG002
        """Return the token ids that the text tower needs behind a text which leaves ``room`` positions free."""
        return []

    def as_trained(self, text: str) -> str:
        """Return the text in the case that the model was trained with."""
        return text
