"""From CAMs to masks, and what is judged and shown of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from semples.config.checks import fraction, one_of, positive
from semples.config.registry import CRITERIA, REFINEMENTS
from semples.errors import ConfigError


@dataclass(frozen=True)
class PseudoMasksConfig:
    """Stage 4: from CAMs to masks."""

    threshold: float | None = None
    """CAM value (0 to 1) above which a pixel belongs to a class; null: chosen without masks, by criterion."""
    criterion: str = "auto"
    """How a threshold is chosen. prompts: the vision-language model finds the class inside the masks and the learned
    prompt outside; prompts_image: the same for each image and class, at 20 passes of that model each; li, otsu: from
    the values of the CAMs alone; auto: prompts with guidance, li without."""
    refinement: list[str] = field(default_factory=lambda: ["pixel_adaptive"])
    """Steps by which the photograph itself corrects the CAMs before they are cut, in this order."""
    ignore_band: float = 0.0
    """Width of the band around the threshold: what its lower and upper end label differently is ignored (255)."""

    def __post_init__(self) -> None:
        fraction(self, "pseudo_masks", "ignore_band")
        if self.threshold is not None:
            fraction(self, "pseudo_masks", "threshold")
        one_of("pseudo_masks.criterion", self.criterion, ("auto", *CRITERIA))
        for step in self.refinement:
            one_of("pseudo_masks.refinement", step, REFINEMENTS)
        if len(set(self.refinement)) != len(self.refinement):
            raise ConfigError(f"pseudo_masks.refinement is {self.refinement}, expected each step once at most")


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
