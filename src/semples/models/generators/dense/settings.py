"""Settings of mask generator ``dense``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from semples.config.checks import positive
from semples.config.mask_generator import GeneratorParts, MaskGeneratorConfig


@dataclass(frozen=True)
class DenseConfig(MaskGeneratorConfig):
    """Mask generator dense: the vision-language model itself, place by place; only the prompts are trained."""

    attention: Literal["plain", "value", "query_key"] | None = None
    """How places look at each other in the last attention of the image tower. "plain": as the model was trained;
    "value": each place at itself alone (MaskCLIP); "query_key": at places with similar queries or keys (SCLIP).
    null: "query_key" for CLIP, which knows all three, and "value" for SigLIP, which knows no other; ALIGN has no
    attention."""
    softmax_scale: float | None = None
    """Factor on the cosines of a place with the texts, in front of the softmax: larger is sharper. null: the factor
    that the model was trained with."""
    competing_prompts: Literal["own", "all"] = "own"
    """Which learned prompts the places of an image compete with from stage 3 on: "own", those of the image's own
    classes, or those of "all" classes."""
    keep_background_words: bool = True
    """Whether background_words stay beside the learned prompts from stage 3 on. The maps are then less sure of the
    class, and their threshold is easier to choose."""
    window: int | None = None
    """Side in pixels of square windows in which larger images are encoded, rounded to whole patches; windows overlap by
    half. null: every image as a whole."""

    generator: ClassVar[str] = "semples.models.generators.dense.generator.DenseGenerator"

    def __post_init__(self) -> None:
        super().__post_init__()
        given = [name for name in ("softmax_scale", "window") if getattr(self, name) is not None]
        positive(self, "mask_generator", *given)

    def build(self, parts: GeneratorParts) -> Any:
        """Build a :class:`semples.models.generators.dense.generator.DenseGenerator` around the run's model."""
        return self.generator_class()(
            parts.vision_language(),
            parts.class_phrases(),
            self.background_words,
            attention=self.attention,
            softmax_scale=self.softmax_scale,
            window=self.window,
            words_of_classes=parts.background_words_of_classes,
            competing_prompts=self.competing_prompts,
            keep_background_words=self.keep_background_words,
        )
