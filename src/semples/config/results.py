"""From CAMs to masks, and what is judged and shown of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from semples.config.checks import fraction, not_negative, positive
from semples.errors import ConfigError

RefinementName = Literal["pixel_adaptive", "dense_crf"]


@dataclass(frozen=True)
class PseudoMasksConfig:
    """Stage 4: from CAMs to masks."""

    threshold: float | None = None
    """CAM value (0 to 1) above which a pixel belongs to a class; null: chosen without masks, by criterion."""
    criterion: Literal["auto", "prompts", "prompts_image", "li", "otsu"] = "auto"
    """What a threshold is chosen by. prompts: the vision-language model finds the class inside of the masks and the
    learned prompt outside; prompts_image: the same for each image and class, at 20 looks of that model each; li,
    otsu: the values of the CAMs alone; auto: prompts with guidance, li without."""
    refinement: list[RefinementName] = field(default_factory=lambda: ["pixel_adaptive"])
    """Steps by which the photograph itself corrects the CAMs before they are cut, in this order."""
    ignore_band: float = 0.0
    """Width of the band around the threshold: what its lower and upper end label differently is ignored (255)."""

    def __post_init__(self) -> None:
        fraction(self, "pseudo_masks", "ignore_band")
        if self.threshold is not None:
            fraction(self, "pseudo_masks", "threshold")
        if len(set(self.refinement)) != len(self.refinement):
            raise ConfigError(f"pseudo_masks.refinement is {self.refinement}, expected each step once at most")


@dataclass(frozen=True)
class PixelAdaptiveConfig:
    """Refinement pixel_adaptive: means over neighbours of a like colour (PAMR, arXiv 2005.08104)."""

    dilations: list[int] = field(default_factory=lambda: [1, 2, 4, 8, 12, 24])
    """Distances of the neighbours in pixels; made for photographs of about 500 pixels."""
    iterations: int = 10
    """Rounds of averaging."""
    colour_scale: float = 0.1
    """Colour difference that counts as an edge, in local standard deviations; smaller keeps to finer edges."""

    def __post_init__(self) -> None:
        positive(self, "pixel_adaptive", "iterations", "colour_scale")
        if not self.dilations or min(self.dilations) < 1:
            raise ConfigError(f"pixel_adaptive.dilations is {self.dilations}, expected at least one number above 0")


@dataclass(frozen=True)
class DenseCrfConfig:
    """Refinement dense_crf: a fully connected CRF (pip install "semples[crf]"); defaults of the paper's VOC recipe."""

    iterations: int = 10
    """Mean-field iterations."""
    label_confidence: float = 0.7
    """Probability that a pixel's label before the CRF is right."""
    gaussian_sxy: float = 4.0
    """Reach of the smoothness kernel in pixels."""
    gaussian_compat: float = 3.0
    """Weight of the smoothness kernel."""
    bilateral_sxy: float = 83.0
    """Reach of the appearance kernel in pixels."""
    bilateral_srgb: float = 5.0
    """Its reach in colour, in steps of 1 / 255."""
    bilateral_compat: float = 3.0
    """Weight of the appearance kernel."""

    def __post_init__(self) -> None:
        positive(self, "dense_crf", "iterations", "gaussian_sxy", "bilateral_sxy", "bilateral_srgb")
        not_negative(self, "dense_crf", "gaussian_compat", "bilateral_compat")
        if not 0 < self.label_confidence < 1:
            raise ConfigError(
                f"dense_crf.label_confidence is {self.label_confidence}, expected a number between 0 and 1"
            )


@dataclass(frozen=True)
class EvaluationConfig:
    """Stage 6: scores against ground truth, where there is some."""

    classes: list[str] | None = None
    """Means are taken over these ("background" is one); null: over all classes that occur."""


@dataclass(frozen=True)
class ReportConfig:
    """The report."""

    images: int = 24
    """Images of each split in its gallery; with many the pictures are stored smaller."""

    def __post_init__(self) -> None:
        positive(self, "report", "images")
