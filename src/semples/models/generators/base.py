"""The contract of mask generators: networks whose class activation maps (CAMs) become masks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn


@dataclass(frozen=True)
class MaskGeneratorOutput:
    """Output of a mask generator for B images and K classes.

    Attributes:
        cams: [B, K, h, w], not negative, in the generator's own range.
        logits: Classification logits [B, K] by head.
        affinity: Patch-to-patch affinity [B, hw, hw], or None.

    Raises:
        ValueError: Logits are not of shape [B, K].
    """

    cams: Tensor
    logits: Mapping[str, Tensor]
    affinity: Tensor | None = None

    def __post_init__(self) -> None:
        batch, classes = self.cams.shape[:2]
        for name, logits in self.logits.items():
            if logits.shape != (batch, classes):
                raise ValueError(
                    f"logits {name}: the shape is {tuple(logits.shape)}, expected {(batch, classes)}; "
                    "return one value per image and class"
                )


class MaskGenerator(nn.Module, ABC):
    """The contract of every mask generator, including user-defined ones."""

    is_trainable: ClassVar[bool] = True
    """Whether stages 0, 1 and 3 have something to train; only a :class:`FoundationGenerator` has nothing."""
    needs_vision_language: ClassVar[bool] = False
    """Whether it is built from the vision-language model, also in runs without guidance."""
    affinity_steps: ClassVar[int] = 0
    """How often the output's affinity is applied to the CAMs unless the config sets it."""
    bundled_backbone: ClassVar[str] = "backbone"
    """Purpose in :data:`semples.models.loading.BUNDLED_MODELS` of the models that backbone "bundled" stands for."""
    divide_by_peak: bool = True
    """Whether each CAM is divided by its maximum before the soft masks' eps, which fits WeakTr's range, is applied."""

    @abstractmethod
    def forward(self, pixels: Tensor, labels: Tensor | None = None) -> MaskGeneratorOutput:
        """Compute CAMs and logits of pixels [B, 3, H, W] in [0, 1]; labels [B, K] if the caller has them."""

    def place_features(self, pixels: Tensor) -> Tensor | None:  # noqa: ARG002
        """Encode the places that the CAMs of pixels [B, 3, H, W] come from to the vision-language model's joint space.

        Returns:
            Features [B, h, w, D] of any length; None for a generator that does not compare places with texts.
        """
        return None

    @abstractmethod
    def trunk_parameters(self) -> list[nn.Parameter]:
        """List the pretrained parameters: trained in stage 0 at a lower rate, frozen in stages 1 and 3."""

    @abstractmethod
    def head_parameters(self) -> list[nn.Parameter]:
        """List all other parameters."""

    @abstractmethod
    def freeze_trunk(self) -> None:
        """Exclude the pretrained part from training for good: no gradients, no dropout."""


class FoundationGenerator(MaskGenerator):
    """A generator that needs no training; stage 3 only replaces the backgrounds it contrasts classes with."""

    is_trainable: ClassVar[bool] = False

    @abstractmethod
    def replace_backgrounds(self, features: Tensor) -> None:
        """Contrast the classes with these text features [N, D] from now on; they are part of the state dict."""

    def generic_background(self) -> Tensor | None:
        """Return one feature [D], L2-normalized, for the backgrounds of stage 0; None if there are none.

        Stage 3 contrasts a class with it if the prompt of the class cannot be used.
        """
        return None

    def trunk_parameters(self) -> list[nn.Parameter]:
        """Return an empty list."""
        return []

    def head_parameters(self) -> list[nn.Parameter]:
        """Return an empty list."""
        return []

    def freeze_trunk(self) -> None:
        """Do nothing: there is nothing to freeze."""
