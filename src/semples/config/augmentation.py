"""Augmentation of training crops, and multi-scale inference of CAMs."""

from __future__ import annotations

from dataclasses import dataclass, field

from semples.config.checks import fraction, not_negative
from semples.errors import ConfigError


@dataclass(frozen=True)
class AugmentationConfig:
    """Augmentation of training crops besides random cropping and mirroring: in stages 1 and 3, never in stage 2."""

    classify: bool = False
    """Whether stage 0 augments its crops too."""
    randaugment_operations: int = 0
    """Number of RandAugment operations per crop, 0 or more; 0: off (the paper: 2)."""
    randaugment_magnitude: int = 9
    """Strength of the RandAugment operations, 0 to 10."""
    color_jitter: float = 0.0
    """Largest relative change of brightness, contrast and saturation, 0 to 1; 0: off (the paper: 0.4)."""
    random_erasing: float = 0.0
    """Probability, 0 to 1, that a rectangle is filled with the crop's mean color; 0: off (the paper: 0.25)."""

    def __post_init__(self) -> None:
        not_negative(self, "augmentation", "randaugment_operations")
        fraction(self, "augmentation", "color_jitter", "random_erasing")
        if not 0 <= self.randaugment_magnitude <= 10:
            raise ConfigError(
                f"augmentation.randaugment_magnitude: {self.randaugment_magnitude} is out of range; expected a number "
                "from 0 to 10"
            )


@dataclass(frozen=True)
class CamsConfig:
    """Multi-scale inference of class activation maps."""

    scales: list[float] = field(default_factory=lambda: [1.33, 2.0])
    """Factors on the image size, each above 0; the CAMs of all scales are summed. The scale of the training crops
    should lie between them."""
    flip: bool = True
    """Whether to add the CAMs of the mirrored image at each scale."""

    def __post_init__(self) -> None:
        if not self.scales or min(self.scales) <= 0:
            raise ConfigError(f"cams.scales: {self.scales} is out of range; expected at least one number, each above 0")
