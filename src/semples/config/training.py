"""Settings of the trainings: guidance and stages 0, 1, 2, 3 and 5."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from semples.config.checks import fraction, not_negative, positive
from semples.errors import ConfigError


@dataclass(frozen=True)
class GuidanceConfig:
    """Language guidance: stages 1 to 3."""

    enabled: bool = True
    """Whether stages 1 to 3 run; if not, pseudo masks are made from the CAMs of stage 0."""


@dataclass(frozen=True)
class OptimizerConfig:
    """Settings that all trainings have."""

    epochs: int = 10
    """Passes over the training images."""
    batch_size: int = 32
    """Number of images per step."""
    learning_rate: float = 1e-3
    """Peak learning rate of AdamW, above 0; it falls to 0 along a cosine."""
    weight_decay: float = 0.03
    """Decoupled weight decay of AdamW, 0 or more."""
    warmup: float = 0.0
    """Share of the steps, 0 to 1, during which the learning rate rises linearly."""
    accumulation: int = 1
    """Number of parts into which a batch is split, computed one after the other to save memory. Only batch norms in
    training give other results."""

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
    """Peak learning rate of AdamW, above 0; it falls to 0 along a cosine."""
    backbone_rate: float = 0.1
    """Learning rate of the backbone as a multiple of the head's, 0 or more; without effect on a frozen backbone."""

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
    """Peak learning rate of AdamW, above 0; it falls to 0 along a cosine."""
    lambda_background: float = 1.0
    """Weight, 0 or more, of the term that keeps the region outside of a mask from matching the class text."""

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
    """Number of background regions per step."""
    learning_rate: float = 1e-2
    """Peak learning rate of AdamW, above 0; it falls to 0 along a cosine."""
    kind: Literal["vectors", "mixtures", "picked"] = "vectors"
    """Form of the prompts. "vectors": free vectors in the token space, as in the paper; "mixtures": learned mixtures of
    the words' text features, which cannot leave the vocabulary; "picked": the words that match the outside of a class's
    masks better than the inside and than other classes' outside, without training."""
    regions: Literal["pictures", "places"] = "pictures"
    """How regions are embedded. "pictures": masked images, as in the paper; "places": the whole image is encoded, and
    the features of the places in the region are averaged."""
    length: int = 4
    """Number of learned vectors per class (the paper: 30); vectors only."""
    picked_words: int = 4
    """Number of words of each prompt; picked only."""
    start: Literal["uniform", "words"] = "words"
    """Initial values of the vectors: "uniform" in [0, 1) as in the paper, or "words": normal, at the scale of word
    embeddings."""
    score: Literal["auto", "cosine", "sigmoid"] = "cosine"
    """Match score of this stage; the cosine still attracts where the sigmoid is saturated. "auto": the score of the
    other stages."""
    approach: float = 0.2
    """Share of the epochs, 0 to 1, that start with the model's own score, because a clamped cosine below 0 has no
    gradient."""
    lambda_text: float = 0.02
    """Weight, 0 or more, of the term that pushes the prompt away from the class text."""
    lambda_inside: float = 0.0
    """Weight, 0 or more, of the term that pushes the prompt away from the objects, the regions inside of the masks (the
    paper: 0)."""
    nearest_words: int = 5
    """Number of nearest words recorded per class and epoch."""
    views: int = 1
    """Number of views of each background: the whole image, then random crops; the epochs use them in turn."""
    words: str | None = None
    """Words to describe the prompts with, and to make them of: a text file, one per line, or "bundled": 270 nouns that
    captions of photographs use for places and things around objects. null: the whole words of the tokenizer."""
    distant_words: float = 1.0
    """Share of the words, above 0 up to 1, that mixtures and picked words may use: those farthest from the texts of all
    classes. Words near a class, such as "stable" for horse, otherwise take part of the object."""

    _section = "prompts"

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, self._section, "length", "picked_words", "nearest_words", "views")
        not_negative(self, self._section, "lambda_text", "lambda_inside")
        fraction(self, self._section, "approach", "distant_words")
        positive(self, self._section, "distant_words")


@dataclass(frozen=True)
class RefineConfig(MatchConfig):
    """Stage 3: prompt-guided semantic refinement, restarted from stage 0."""

    lambda_suppress: float = 0.5
    """Weight, 0 or more, of the term that keeps the foreground from matching the learned background prompt."""

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
    """Peak learning rate of AdamW, above 0."""
    warmup: float = 0.1
    """Share of the steps, 0 to 1, during which the learning rate rises linearly; without it some seeds lose whole
    classes."""
    schedule: Literal["cosine", "poly"] = "cosine"
    """Decay of the learning rate to 0 after the warm-up: half a cosine, or poly: (1 - share of the steps done)^0.9."""
    ema: float = 0.0
    """Decay, 0 up to but excluding 1, of the moving average of the weights, which is saved instead of the last weights
    (0.999 is common). 0: the last weights."""
    model: str = "bundled"
    """Any semantic segmentation or backbone checkpoint: hub name, local folder, "bundled/scenes" (a tiny UPerNet that
    knows only the built-in scenes), "bundled/photos" (DeepLab on an ImageNet MobileNetV2), or "bundled": the one that
    suits data.reader. A config.json without weights starts from random weights."""
    image_size: int = 128
    """Side of the square training crops, in pixels."""
    smallest_scale: float = 0.8
    """Smallest random factor by which training images are scaled before cropping, above 0."""
    largest_scale: float = 1.4
    """Largest random factor by which training images are scaled before cropping."""
    color_jitter: float = 0.0
    """Largest relative change j of brightness, contrast and saturation, 0 to 1: each is multiplied by 1 - j to 1 + j.
    0: off."""
    backbone_rate: float = 0.3
    """Learning rate of the pretrained parameters as a multiple of the new ones', 0 or more."""
    confidence_weighting: bool = False
    """Whether to weight the loss of each pixel by the confidence of its pseudo label, which stage 4 then writes too."""
    inference: Literal["whole", "slide"] = "whole"
    """Prediction on whole images, or slide: in square windows of image_size, whose logits are averaged."""
    scales: list[float] = field(default_factory=lambda: [1.0, 1.5])
    """Scales, each above 0, over which predictions are averaged, with mirror images; 1 is the scale of training (short
    side of image_size)."""
    supervised_bound: bool | None = None
    """Whether to train the same network on ground-truth masks too, as a bound. null: for built-in scenes only."""

    _section = "segment"

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, self._section, "image_size", "smallest_scale")
        not_negative(self, self._section, "backbone_rate")
        fraction(self, self._section, "color_jitter")
        if not 0 <= self.ema < 1:
            raise ConfigError(f"segment.ema: {self.ema} is out of range; expected 0 (off) or a number below 1")
        if not self.scales or min(self.scales) <= 0:
            raise ConfigError(
                f"segment.scales: {self.scales} is out of range; expected at least one number, each above 0"
            )
        if self.largest_scale < self.smallest_scale:
            raise ConfigError(
                f"segment.largest_scale: {self.largest_scale} is too small; expected segment.smallest_scale "
                f"({self.smallest_scale}) or more"
            )
