"""Settings of mask generator ``cam``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from semples.config.checks import positive
from semples.config.mask_generator import BackboneGeneratorConfig, GeneratorParts


@dataclass(frozen=True)
class CamConfig(BackboneGeneratorConfig):
    """Mask generator cam: a pretrained backbone and one convolution."""

    output_stride: int | None = 8
    """Input pixels per CAM pixel; if smaller than the backbone's own, its last stages are dilated. null: the backbone's
    own."""

    generator: ClassVar[str] = "semples.models.generators.cam.generator.CamGenerator"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.output_stride is not None:
            positive(self, "mask_generator", "output_stride")

    def build(self, parts: GeneratorParts) -> Any:
        """Build a :class:`semples.models.generators.cam.generator.CamGenerator`."""
        from semples.models.backbones import load_backbone  # imports torch

        backbone = load_backbone(self.backbone, self.output_stride, self.freeze_backbone)
        return self.generator_class()(backbone, len(parts.prompt_names), self.kernel_size)
