"""The contract of adapters, which hold everything that differs between kinds of vision-language models.

Shapes: B images, N texts, T tokens, W width of the token embedding, C channels, D joint space, h x w patches or feature
cells.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

ScoreKind = Literal["cosine", "sigmoid"]


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

    def padding(self, room: int) -> list[int]:  # noqa: ARG002
        """Return the token ids that the text tower needs behind a text which leaves ``room`` positions free."""
        return []

    def as_trained(self, text: str) -> str:
        """Return the text in the case that the model was trained with."""
        return text
