"""The mask generator ``cam``: a pretrained backbone and one convolution (Zhou et al., CVPR 2016)."""

from __future__ import annotations

from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from semples.models.backbones import Backbone
from semples.models.generators.base import MaskGenerator, MaskGeneratorOutput


class CamGenerator(MaskGenerator):
    """A backbone and a convolution to K maps: CAMs are their ReLU, logits their global average.

    This is the CAM of Zhou et al. (CVPR 2016) with the classifier moved in front of the pooling.

    Args:
        backbone: Maps an image to features.
        num_classes: K.
        kernel_size: Side of the convolution, odd.
    """

    def __init__(self, backbone: Backbone, num_classes: int, kernel_size: int = 3) -> None:
        super().__init__()
        self.backbone = backbone
        self._trunk_is_frozen = False
        self.head = nn.Conv2d(backbone.channels, num_classes, kernel_size, padding=kernel_size // 2)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(cast(Tensor, self.head.bias))

    def forward(self, pixels: Tensor, labels: Tensor | None = None) -> MaskGeneratorOutput:  # noqa: ARG002
        """Compute CAMs [B, K, h, w] and logits {"cam": [B, K]} of pixels [B, 3, H, W] in [0, 1]."""
        maps = self.head(self.backbone(pixels))
        return MaskGeneratorOutput(cams=F.relu(maps), logits={"cam": maps.mean(dim=(2, 3))})

    def train(self, mode: bool = True) -> CamGenerator:
        """Switch the training mode; a frozen trunk stays in evaluation mode."""
        super().train(mode)
        if self._trunk_is_frozen:
            self.backbone.eval()
        return self

    def freeze_trunk(self) -> None:
        """Train only the head: the backbone gets no gradients and stays in evaluation mode."""
        self._trunk_is_frozen = True
        self.backbone.requires_grad_(False).eval()

    def trunk_parameters(self) -> list[nn.Parameter]:
        """List the parameters of the backbone."""
        return list(self.backbone.parameters())

    def head_parameters(self) -> list[nn.Parameter]:
        """List the parameters of the convolution."""
        return list(self.head.parameters())
