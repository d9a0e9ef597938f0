"""Built-in parts that settings choose by name: one line each.

Parts are named by import path and loaded when they are first needed, so that reading settings never imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from semples.config.plugins import import_object


@dataclass(frozen=True)
class CriterionEntry:
    """A threshold criterion.

    Attributes:
        path: Import path of its class.
        needs_prompts: Whether it needs learned prompts, and so guidance.
    """

    path: str
    needs_prompts: bool = False

    def load(self) -> Any:
        """Import the class, a :class:`semples.inference.thresholds.base.Criterion`."""
        return import_object(self.path, "pseudo_masks.criterion")


CRITERIA = {
    "prompts": CriterionEntry("semples.inference.thresholds.prompts.PromptsCriterion", needs_prompts=True),
    "prompts_image": CriterionEntry("semples.inference.thresholds.prompts.ImagePromptsCriterion", needs_prompts=True),
    "li": CriterionEntry("semples.inference.thresholds.histogram.LiCriterion"),
    "otsu": CriterionEntry("semples.inference.thresholds.histogram.OtsuCriterion"),
}
"""Threshold criterion -> its class."""

GUIDED_CRITERION, UNGUIDED_CRITERION = "prompts", "li"
"""What criterion "auto" stands for with and without guidance."""
