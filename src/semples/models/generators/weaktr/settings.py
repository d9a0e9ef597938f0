"""Settings of mask generator ``weaktr``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from semples.config.checks import positive
from semples.config.mask_generator import BackboneGeneratorConfig, Checkpoint, GeneratorParts


@dataclass(frozen=True)
class WeakTrConfig(BackboneGeneratorConfig):
    """Mask generator weaktr (arXiv 2304.01184): a ViT or DeiT with class tokens; one CAM pixel per patch."""

    checkpoint: str | None = None
    """Checkpoint of the WeakTr authors (.pth or .safetensors) from which stage 0 starts, in addition to the backbone.
    null: none."""
    fusion_pool: Literal["max", "average"] = "max"
    """Pooling of the features of each attention head (VOC recipe: max, COCO: average)."""
    fusion_reduction: int = 8
    """Reduction factor of the bottleneck over all heads in the attention fusion (VOC recipe: 8, COCO: 4)."""
    fusion_feat_reduction: int = 8
    """Reduction factor of the bottleneck over the features of one head in the attention fusion."""

    generator: ClassVar[str] = "semples.models.generators.weaktr.generator.WeakTrGenerator"

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "mask_generator", "fusion_reduction", "fusion_feat_reduction")

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Return the backbone, and the checkpoint to start from."""
        if self.checkpoint is None:
            return super().checkpoints()
        return (*super().checkpoints(), Checkpoint("mask_generator.checkpoint", self.checkpoint, None))

    def build(self, parts: GeneratorParts) -> Any:
        """Build a :class:`semples.models.generators.weaktr.generator.WeakTrGenerator`."""
        from semples.models.generators.weaktr.generator import WeakTrOptions, load_weaktr  # imports torch
        from semples.models.generators.weaktr.weights import load_weaktr_checkpoint

        options = WeakTrOptions(
            pool=self.fusion_pool,
            reduction=self.fusion_reduction,
            feat_reduction=self.fusion_feat_reduction,
            head_channels="strided" if parts.published else "contiguous",
            interpolation="offset" if parts.published else "exact",
            leftover="drop" if parts.published else "resize",
            kernel_size=self.kernel_size,
        )
        generator = load_weaktr(self.backbone, len(parts.prompt_names), options)
        if self.checkpoint is not None and parts.with_checkpoint:
            load_weaktr_checkpoint(self.checkpoint, generator)
        return generator
