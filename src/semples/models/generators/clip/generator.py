"""CAMs from the vision-language model itself: softmax Grad-CAM of class texts against background texts.

Written after the formulas of CLIP-ES (arXiv 2212.09506). Shapes: B images, K classes, N backgrounds, T tokens, C
channels, D joint space, h x w patches.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from semples.models.generators.base import MaskGeneratorOutput
from semples.models.generators.text_contrast import TextContrastGenerator
from semples.models.vision_language.grad_cam import grad_cams


class ClipGenerator(TextContrastGenerator):
    """Softmax Grad-CAM of the present classes' texts against background texts; nothing in it is trained."""

    label: ClassVar[str] = "clip"
    affinity_steps: ClassVar[int] = 2

    def forward(self, pixels: Tensor, labels: Tensor | None = None) -> MaskGeneratorOutput:
        """Compute CAMs [B, K, h, w] with a peak of 1 for present classes, 0 everywhere for absent ones.

        Args:
            pixels: [B, 3, H, W] in [0, 1], any size.
            labels: [B, K]; required, because the present classes compete.

        Returns:
            CAMs, logits {"clip": scaled cosines [B, K]}, and the attention between patches for vision transformers.

        Raises:
            ValueError: No labels.
        """
        labels = self.require_labels(labels)
        cut = self.vision_language.cut(pixels)
        scale = self.vision_language.logit_scale
        cams = grad_cams(cut, self.texts, self.backgrounds, labels, scale)
        logits = scale * (cut.features.detach() @ self.texts.T)
        return MaskGeneratorOutput(cams, {"clip": logits}, cut.affinity)
