"""The contract of mask generators: networks whose class activation maps (CAMs) become masks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn


@dataclass(frozen=True)
class MaskGeneratorOutput:
    """What a mask generator says of B images and K classes.

    Attributes:
        cams: [B, K, h, w], 0 or more, in the generator's own range.
        logits: Classification logits [B, K] by head.
        affinity: Patch-to-patch affinity [B, hw, hw], or None.
    """

    cams: Tensor
    logits: Mapping[str, Tensor]
    affinity: Tensor | None = None

    def __post_init__(self) -> None:
        batch, classes = self.cams.shape[:2]
        for name, logits in self.logits.items():
            if logits.shape != (batch, classes):
                raise ValueError(f"logits {name} have shape {tuple(logits.shape)}, expected {(batch, classes)}")


class MaskGenerator(nn.Module, ABC):
    """The contract of every mask generator, also of a user's own."""

    is_trainable: ClassVar[bool] = True
    """Whether stages 0, 1 and 3 have something to train; all but a :class:`FoundationGenerator` do."""
    affinity_steps: ClassVar[int] = 0
    """How often the output's affinity is applied to the CAMs where the config does not say."""
    divide_by_peak: bool = True
    """Whether each CAM is divided by its maximum before the eps of the soft masks, made for WeakTr's range, applies."""

    @abstractmethod
    def forward(self, pixels: Tensor, labels: Tensor | None = None) -> MaskGeneratorOutput:
        """Compute CAMs and logits of pixels [B, 3, H, W] in [0, 1]; labels [B, K] where the caller has them."""

    @abstractmethod
    def trunk_parameters(self) -> list[nn.Parameter]:
        """Pretrained parameters: trained in stage 0 at a lower rate, frozen in stages 1 and 3."""

    @abstractmethod
    def head_parameters(self) -> list[nn.Parameter]:
        """All other parameters."""

    @abstractmethod
    def freeze_trunk(self) -> None:
        """Take the pretrained part out of training for good: no gradients, no dropout."""


class FoundationGenerator(MaskGenerator):
    """A generator that is complete from the start and learns nothing but what its background looks like."""

    is_trainable: ClassVar[bool] = False

    @abstractmethod
    def replace_backgrounds(self, features: Tensor) -> None:
        """Contrast the classes with these text features [N, D] from now on; they are part of the state."""

    def trunk_parameters(self) -> list[nn.Parameter]:
        """None."""
        return []

    def head_parameters(self) -> list[nn.Parameter]:
        """None."""
        return []

    def freeze_trunk(self) -> None:
        """Do nothing: there is nothing to freeze."""
