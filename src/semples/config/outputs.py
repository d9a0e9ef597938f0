"""Settings of pseudo masks, evaluation and report."""

from __future__ import annotations

from dataclasses import dataclass, field

from semples.config.checks import fraction, one_of, positive
from semples.config.registry import CRITERIA, REFINEMENTS
from semples.errors import ConfigError


@dataclass(frozen=True)
class PseudoMasksConfig:
    """Stage 4: from CAMs to masks."""

    threshold: float | None = None
    """CAM value, 0 to 1, above which a pixel belongs to a class. null: chosen by criterion, without ground truth."""
    criterion: str = "auto"
    """How the threshold is chosen. "prompts": by the vision-language model, which should find the class inside the
    masks and the learned prompt outside. "prompts_image": the same for each class of each image, with 20 passes of that
    model each. "separation": by the same model's features of the places on the two sides of a cut, which should
    differ most. "li", "otsu": from the values of the CAMs only. "auto": li without guidance; with it, prompts for
    built-in scenes and separation for all other images."""
    refinement: list[str] = field(default_factory=lambda: ["pixel_adaptive"])
    """Refinement steps that align the CAMs with the colors of the image before they are cut, in this order:
    "pixel_adaptive", "dense_crf"; an empty list for none."""
    ignore_band: float = 0.0
    """Width, 0 to 1, of a band around the threshold: pixels that its lower and upper end label differently are ignored
    (255). 0: none."""

    def __post_init__(self) -> None:
        fraction(self, "pseudo_masks", "ignore_band")
        if self.threshold is not None:
            fraction(self, "pseudo_masks", "threshold")
        one_of("pseudo_masks.criterion", self.criterion, ("auto", *CRITERIA))
        for step in self.refinement:
            one_of("pseudo_masks.refinement", step, REFINEMENTS)
        if len(set(self.refinement)) != len(self.refinement):
            raise ConfigError(
                f"pseudo_masks.refinement: {self.refinement} repeats a step; expected each step at most once"
            )


@dataclass(frozen=True)
class EvaluationConfig:
    """Stage 6: scores against ground truth, where it exists."""

    classes: list[str] | None = None
    """Names of the classes over which means are taken, "background" possibly among them. null: all that occur."""


@dataclass(frozen=True)
class ReportConfig:
    """The report."""

    images: int = 24
    """Number of images of each split in the gallery; the more there are, the smaller they are stored."""

    def __post_init__(self) -> None:
        positive(self, "report", "images")
