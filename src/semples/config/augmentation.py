"""Training crops and multi-scale inference."""

from __future__ import annotations

from dataclasses import dataclass, field

from semples.config.checks import fraction, not_negative
from semples.errors import ConfigError


@dataclass(frozen=True)
class AugmentationConfig:
    """Changes to training crops beside random cropping and mirroring: in stages 1 and 3, never in stage 2."""

    classify: bool = False
    """Also in stage 0."""
    randaugment_operations: int = 0
    """Operations of RandAugment for each crop; 0: none (the paper: 2)."""
    randaugment_magnitude: int = 9
    """Severity of those operations, 0 to 10."""
    color_jitter: float = 0.0
    """Brightness, contrast and saturation vary by this share up and down (the paper: 0.4)."""
    random_erasing: float = 0.0
    """Probability that a rectangle is painted over in the crop's mean colour (the paper: 0.25)."""

    def __post_init__(self) -> None:
        not_negative(self, "augmentation", "randaugment_operations")
        fraction(self, "augmentation", "color_jitter", "random_erasing")
        if not 0 <= self.randaugment_magnitude <= 10:
            raise ConfigError(
                f"augmentation.randaugment_magnitude is {self.randaugment_magnitude}, expected a number from 0 to 10"
            )


@dataclass(frozen=True)
class CamsConfig:
    """Multi-scale inference of class activation maps."""

    scales: list[float] = field(default_factory=lambda: [1.33, 2.0])
    """Image scales whose CAMs are summed; they should frame the scale of the training crops."""
    flip: bool = True
    """Add the mirrored image at each scale."""

    def __post_init__(self) -> None:
        if not self.scales or min(self.scales) <= 0:
            raise ConfigError(f"cams.scales is {self.scales}, expected at least one number above 0")
