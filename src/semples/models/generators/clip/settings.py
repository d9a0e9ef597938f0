"""Settings of mask generator ``clip``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from semples.config.mask_generator import GeneratorParts, MaskGeneratorConfig


@dataclass(frozen=True)
class ClipConfig(MaskGeneratorConfig):
    """Mask generator clip: the vision-language model itself; only the prompts are trained."""

    generator: ClassVar[str] = "semples.models.generators.clip.generator.ClipGenerator"

    def build(self, parts: GeneratorParts) -> Any:
        """Build a :class:`semples.models.generators.clip.generator.ClipGenerator` around the run's model."""
        return self.generator_class()(
            parts.vision_language(), parts.class_phrases(), self.background_words, parts.background_words_of_classes
        )
