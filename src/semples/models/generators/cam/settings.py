"""Settings of mask generator ``cam``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from semples.config.checks import positive
from semples.config.mask_generator import BackboneGeneratorConfig, GeneratorParts


@dataclass(frozen=True)
class CamConfig(BackboneGeneratorConfig):
    """Mask generator cam: a pretrained backbone and one convolution."""

    output_stride: int | Literal["auto"] | None = "auto"
    """Input pixels per CAM pixel; if smaller than the backbone's own, its last stages are dilated. "auto": 16 for
    backbone bundled/photos, 8 for any other. null: the backbone's own."""

    generator: ClassVar[str] = "semples.models.generators.cam.generator.CamGenerator"

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.output_stride, int):
            positive(self, "mask_generator", "output_stride")

    def build(self, parts: GeneratorParts) -> Any:
        """Build a :class:`semples.models.generators.cam.generator.CamGenerator`."""
        from semples.models.backbones import load_backbone  # imports torch

        stride = self.output_stride
        if stride == "auto":
            stride = 16 if self.backbone == "bundled/photos" else 8
        backbone = load_backbone(self.backbone, stride, self.freeze_backbone)
        return self.generator_class()(backbone, len(parts.prompt_names), self.kernel_size)
