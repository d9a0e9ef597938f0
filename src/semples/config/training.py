"""What the trainings of the stages need."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from semples.config.checks import fraction, not_negative, positive
from semples.errors import ConfigError


@dataclass(frozen=True)
class GuidanceConfig:
    """Language guidance: stages 1 to 3."""

    enabled: bool = True
    """Off: pseudo masks come from the classifier's CAMs alone."""


@dataclass(frozen=True)
class OptimizerConfig:
    """What every training stage needs."""

    epochs: int = 10
    """Passes over the training images."""
    batch_size: int = 32
    """Images per step."""
    learning_rate: float = 1e-3
    """Peak rate of AdamW; cosine to 0."""
    weight_decay: float = 0.03
    """Decoupled weight decay."""
    warmup: float = 0.0
    """Share of the steps with a linearly rising rate."""
    accumulation: int = 1
    """Parts of a batch, computed one after the other to save memory; only batch norms that train see a difference."""

    _section = "optimizer"

    def __post_init__(self) -> None:
        positive(self, self._section, "epochs", "batch_size", "learning_rate", "accumulation")
        fraction(self, self._section, "warmup")
        not_negative(self, self._section, "weight_decay")


@dataclass(frozen=True)
class ClassifyConfig(OptimizerConfig):
    """Stage 0: multi-label classification."""

    epochs: int = 15
    """Passes over the training images."""
    learning_rate: float = 2e-2
    """Peak rate of AdamW; cosine to 0."""
    backbone_rate: float = 0.1
    """Learning rate of the backbone as a share of the head's, unless it is frozen."""

    _section = "classify"

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative(self, self._section, "backbone_rate")


@dataclass(frozen=True)
class MatchConfig(OptimizerConfig):
    """Stage 1: segment-label matching."""

    epochs: int = 10
    """Passes over the training images."""
    learning_rate: float = 1e-2
    """Peak rate of AdamW; cosine to 0."""
    lambda_background: float = 1.0
    """Weight of: the masked-out background must not match the class text."""

    _section = "match"

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative(self, self._section, "lambda_background")


@dataclass(frozen=True)
class PromptsConfig(OptimizerConfig):
    """Stage 2: contrastive prompt learning."""

    epochs: int = 100
    """Passes over the cached background features."""
    batch_size: int = 64
    """Background regions per step."""
    learning_rate: float = 1e-2
    """Peak rate of AdamW; cosine to 0."""
    length: int = 4
    """Learned vectors per class (the paper: 30)."""
    start: Literal["uniform", "words"] = "words"
    """First values of the vectors: uniform in [0, 1) as in the paper, or normal at the scale of word embeddings."""
    score: Literal["auto", "cosine", "sigmoid"] = "cosine"
    """Match score of this stage; the cosine goes on pulling where the sigmoid is satisfied. auto: as elsewhere."""
    approach: float = 0.2
    """Share of the epochs that first uses the model's own score: below 0 a clamped cosine has no gradient."""
    lambda_text: float = 0.02
    """Weight of: the prompt must differ from the class text."""
    nearest_words: int = 5
    """Words kept per class and epoch."""
    views: int = 1
    """Views of each background that are embedded: the whole image, then random crops; the epochs take them in turn."""
    words: str | None = None
    """Text file of words to read the prompts with, one per line; null: the whole words of the tokenizer."""

    _section = "prompts"

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, self._section, "length", "nearest_words", "views")
        not_negative(self, self._section, "lambda_text")
        fraction(self, self._section, "approach")


@dataclass(frozen=True)
class RefineConfig(MatchConfig):
    """Stage 3: prompt-guided semantic refinement, restarted from stage 0."""

    lambda_suppress: float = 0.5
    """Weight of: the foreground must not match the learned background prompt."""

    _section = "refine"

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative(self, self._section, "lambda_suppress")


@dataclass(frozen=True)
class SegmentConfig(OptimizerConfig):
    """Stage 5: the segmentation network."""

    epochs: int = 20
    """Passes over the training images."""
    learning_rate: float = 4e-3
    """Peak rate of AdamW."""
    warmup: float = 0.1
    """Share of the steps with a linearly rising rate; without it some seeds lose whole classes."""
    schedule: Literal["cosine", "poly"] = "cosine"
    """How the rate falls to 0 after the warm-up: half a cosine, or (1 - share of the steps done)^0.9."""
    ema: float = 0.0
    """Decay of the moving average of the weights that is saved in their place (0.999 is usual); 0: the last weights."""
    model: str = "bundled"
    """Any semantic segmentation or backbone checkpoint: hub name, local folder, or "bundled" (a tiny UPerNet);
    a config.json without weights starts from random ones."""
    image_size: int = 128
    """Side of the square training crops in pixels."""
    smallest_scale: float = 0.8
    """Training images are scaled by a random factor from here ..."""
    largest_scale: float = 1.4
    """... to here before cropping."""
    color_jitter: float = 0.0
    """Brightness, contrast and saturation of the crops are multiplied by 1 - j to 1 + j each; 0: off."""
    backbone_rate: float = 0.3
    """Learning rate of pretrained parameters as a share of the new ones'."""
    confidence_weighting: bool = False
    """Weight each pixel's loss by the confidence of its pseudo label, which stage 4 then writes too."""
    inference: Literal["whole", "slide"] = "whole"
    """Whole images at once, or square windows of image_size whose logits are averaged where they overlap."""
    scales: list[float] = field(default_factory=lambda: [1.0, 1.5])
    """Predictions are averaged over these scales and mirror images; 1 is that of training (short side image_size)."""
    supervised_bound: bool | None = None
    """Also train the same network on true masks, to show what is left to gain. null: for built-in scenes only."""

    _section = "segment"

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, self._section, "image_size", "smallest_scale")
        not_negative(self, self._section, "backbone_rate")
        fraction(self, self._section, "color_jitter")
        if not 0 <= self.ema < 1:
            raise ConfigError(f"segment.ema is {self.ema}, expected 0 (off) or a number below 1")
        if not self.scales or min(self.scales) <= 0:
            raise ConfigError(f"segment.scales is {self.scales}, expected at least one number above 0")
        if self.largest_scale < self.smallest_scale:
            raise ConfigError(
                f"segment.largest_scale is {self.largest_scale}, expected segment.smallest_scale "
                f"({self.smallest_scale}) or more"
            )
