"""The mask generator: what it is, what it is trained on, how its maps are taken."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from semples.config.checks import fraction, not_negative, positive
from semples.errors import ConfigError

BACKGROUND_WORDS = (
    "ground", "land", "grass", "tree", "building", "wall", "sky", "lake", "water", "river", "sea", "railway",
    "railroad", "helmet", "cloud", "house", "mountain", "ocean", "road", "rock", "street", "valley", "bridge",
)  # fmt: skip
"""Generic backgrounds, as in CLIP-ES (arXiv 2212.09506)."""


@dataclass(frozen=True)
class MaskGeneratorConfig:
    """The network whose class activation maps become masks."""

    name: str = "cam"
    """"cam", "weaktr" (needs a ViT or DeiT), "clip" (the vision-language model itself: nothing trains but prompts), or
    the import path of your own class."""
    backbone: str = "bundled"
    """Any transformers backbone: hub name, local folder, or "bundled" (the bundled vision-language model's; for weaktr
    the bundled ViT)."""
    checkpoint: str | None = None
    """weaktr: a checkpoint of the WeakTr authors (.pth or .safetensors) to start stage 0 from, beside its backbone."""
    output_stride: int | None = 8
    """Input pixels per CAM pixel; smaller than the backbone's own dilates its last stages. null: its own. weaktr has
    its patch size whatever stands here."""
    kernel_size: int = 3
    """Side of the CAM head's convolution."""
    freeze_backbone: bool = True
    """Train only the head in stage 0 too (stages 1 and 3 always do)."""
    image_size: int = 128
    """Side of the square training crops in pixels."""
    crop_scale: float = 0.6
    """Smallest share of the image's area that a random training crop keeps; 1 resizes the whole image."""
    background_words: list[str] = field(default_factory=lambda: list(BACKGROUND_WORDS))
    """clip: what stage 0 contrasts the classes with; class names, and words the model does not know, are left out."""
    affinity_steps: int | None = None
    """Times that attention between patches spreads the CAMs, where there is any. null: 2 for clip, 0 for others."""
    affinity_threshold: float = 0.4
    """Spread CAMs stay in the boxes around what is above this share of their maximum."""
    fusion_pool: Literal["max", "average"] = "max"
    """weaktr: pooling of each attention head's features (VOC recipe: max, COCO: average)."""
    fusion_reduction: int = 8
    """weaktr: bottleneck of the attention fusion over all heads (VOC recipe: 8, COCO: 4)."""
    fusion_feat_reduction: int = 8
    """weaktr: bottleneck of the attention fusion over the features of one head."""
    head_channels: Literal["contiguous", "strided"] = "contiguous"
    """weaktr: channels that stand for a head in the fusion: its own, or dealt out with a stride as published."""
    position_interpolation: Literal["exact", "offset"] = "exact"
    """weaktr: position embeddings at other sizes: to the exact grid, or with an offset of 0.1 as published."""
    leftover: Literal["resize", "drop"] = "resize"
    """weaktr: sides that are no multiple of the patch: resize the image to one, or drop the rest as published."""

    def __post_init__(self) -> None:
        positive(self, "mask_generator", "image_size", "kernel_size", "fusion_reduction", "fusion_feat_reduction")
        fraction(self, "mask_generator", "crop_scale", "affinity_threshold")
        if self.affinity_steps is not None:
            not_negative(self, "mask_generator", "affinity_steps")
        if self.output_stride is not None:
            positive(self, "mask_generator", "output_stride")
        if self.kernel_size % 2 == 0:
            raise ConfigError(f"mask_generator.kernel_size is {self.kernel_size}, expected an odd number")
        if self.checkpoint is not None and self.name != "weaktr":
            raise ConfigError(f"mask_generator.checkpoint is for weaktr, but mask_generator.name is {self.name}")


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
