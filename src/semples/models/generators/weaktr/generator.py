"""The WeakTr mask generator (arXiv 2304.01184): class tokens, attention fusion and a coarse CAM."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semples.models.generators.base import MaskGenerator, MaskGeneratorOutput
from semples.models.generators.weaktr.fusion import AttentionFusion, HeadChannels, Pool, gated_attention_sum
from semples.models.generators.weaktr.transformer import (
    ClassTokenTransformer,
    Leftover,
    PositionInterpolation,
    run_layer,
)
from semples.models.layers.normalize import Normalize
from semples.models.loading import image_statistics, load_pretrained, resolve


@dataclass(frozen=True)
class WeakTrOptions:
    """What can be chosen of a WeakTr generator; the defaults are the clean ones, with the published VOC reduction.

    Attributes:
        pool: How each map's features are pooled over the tokens (VOC: max, COCO: average).
        reduction: Bottleneck of the fusion over the maps (VOC: 8, COCO: 4).
        feat_reduction: Bottleneck of the fusion over the features of one map.
        head_channels: Which channels stand for a head in the fusion; "strided" as published.
        interpolation: Position embeddings at other sizes; "offset" as published.
        leftover: Sides that are no multiple of the patch; "drop" as published.
        kernel_size: Side of the coarse CAM's convolution, odd.
    """

    pool: Pool = "max"
    reduction: int = 8
    feat_reduction: int = 8
    head_channels: HeadChannels = "contiguous"
    interpolation: PositionInterpolation = "exact"
    leftover: Leftover = "resize"
    kernel_size: int = 3


@dataclass(frozen=True)
class Encoded:
    """Output of the trunk for B images; T = K + h * w tokens, class tokens first.

    Attributes:
        tokens: Tokens after the last layer [B, T, D].
        inputs: Input of each layer's attention [B, T, D].
        pooled: Output of each layer's attention, pooled over the tokens [B, H, d].
        grid: Rows and columns of patches (h, w).
    """

    tokens: Tensor
    inputs: list[Tensor]
    pooled: list[Tensor]
    grid: tuple[int, int]


@dataclass(frozen=True)
class Maps:
    """Maps of B images and K classes on a grid of h x w patches.

    Attributes:
        scores: Output of the coarse CAM's convolution [B, K, h, w].
        class_attention: Fused attention from classes to patches [B, K, h, w].
        affinity: Fused attention from patch to patch [B, hw, hw].
        cams: Class attention times the ReLU of the scores [B, K, h, w].
        fine_cams: Affinity applied to these [B, K, h, w].
    """

    scores: Tensor
    class_attention: Tensor
    affinity: Tensor
    cams: Tensor
    fine_cams: Tensor


class WeakTrGenerator(MaskGenerator):
    """Fine CAMs of WeakTr: patch-to-patch attention applied to class-to-patch attention times a coarse CAM.

    In stage 0 everything learns, attention included. After :meth:`freeze_trunk` features and attention are constants,
    and only the convolution and the fusion learn. The eps of stages 1 and 3 fits the range of these CAMs, so they are
    not divided by their peak.

    Args:
        trunk: The vision transformer with class tokens.
        fusion: Computes the gates of its attention maps.
        mean: Mean color of its preprocessing, RGB in [0, 1].
        std: Standard deviation of its preprocessing.
        kernel_size: Side of the coarse CAM's convolution, odd.
    """

    bundled_backbone: ClassVar[str] = "vit"
    divide_by_peak = False

    def __init__(
        self,
        trunk: ClassTokenTransformer,
        fusion: AttentionFusion,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        kernel_size: int = 3,
    ) -> None:
        super().__init__()
        self.trunk, self.fusion = trunk, fusion
        self.num_classes = len(trunk.class_tokens)
        self.head = nn.Conv2d(trunk.width, self.num_classes, kernel_size, padding=kernel_size // 2)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(cast(Tensor, self.head.bias))
        self.normalize_pixels = Normalize(mean, std)
        self._trunk_is_frozen = False

    def forward(self, pixels: Tensor, labels: Tensor | None = None) -> MaskGeneratorOutput:  # noqa: ARG002
        """Compute fine CAMs [B, K, h, w], three logit heads and the affinity of pixels [B, 3, H, W] in [0, 1].

        The logits are "class_token" (channel mean of each class token), "coarse" (average of the convolution) and
        "fused" (average of the fine CAM).
        """
        encoded = self.encode(pixels)
        gates = self.fusion(encoded.pooled)
        maps = self.make_maps(encoded, gated_attention_sum(self.trunk.attentions, encoded.inputs, gates))
        logits = {
            "class_token": encoded.tokens[:, : self.num_classes].mean(dim=2),
            "coarse": maps.scores.mean(dim=(2, 3)),
            "fused": maps.fine_cams.mean(dim=(2, 3)),
        }
        return MaskGeneratorOutput(maps.fine_cams, logits, maps.affinity)

    def encode(self, pixels: Tensor) -> Encoded:
        """Run the trunk on pixels [B, 3, H, W] in [0, 1], without gradients once it is frozen."""
        with torch.no_grad() if self._trunk_is_frozen else nullcontext():
            hidden, grid = self.trunk.embed(self.normalize_pixels(pixels))
            inputs, pooled = [], []
            for layer in self.trunk.layers:
                normed, output, hidden = run_layer(layer, hidden)
                inputs.append(normed)
                pooled.append(self.fusion.pool_layer(output))
        return Encoded(hidden, inputs, pooled, grid)

    def make_maps(self, encoded: Encoded, fused: Tensor) -> Maps:
        """Compute all maps from the tokens and the fused attention [B, T, T].

        Never in half precision: fine CAMs can have low contrast, and min-max normalization would show its steps.
        """
        classes = self.num_classes
        with torch.autocast(fused.device.type, enabled=False):
            tokens = encoded.tokens[:, classes:].to(self.head.weight.dtype)
            patches = tokens.transpose(1, 2).unflatten(2, encoded.grid)  # [B, D, h, w]
            scores = self.head(patches)  # [B, K, h, w]
            class_attention = fused[:, :classes, classes:].unflatten(2, encoded.grid)  # [B, K, h, w]
            affinity = fused[:, classes:, classes:]  # [B, hw, hw]
            cams = class_attention * F.relu(scores)
            fine_cams = cams.flatten(2) @ affinity.transpose(1, 2)  # [B, K, hw]
        return Maps(scores, class_attention, affinity, cams, fine_cams.unflatten(2, encoded.grid))

    def train(self, mode: bool = True) -> WeakTrGenerator:
        """Switch the training mode; a frozen trunk stays in evaluation mode."""
        super().train(mode)
        if self._trunk_is_frozen:
            self.trunk.eval()
        return self

    def freeze_trunk(self) -> None:
        """Train only the convolution and the fusion: features and attention become constants."""
        self._trunk_is_frozen = True
        self.trunk.requires_grad_(False).eval()

    def trunk_parameters(self) -> list[nn.Parameter]:
        """List the parameters of the transformer, including the class tokens."""
        return list(self.trunk.parameters())

    def head_parameters(self) -> list[nn.Parameter]:
        """List the parameters of the convolution and the fusion."""
        return [*self.head.parameters(), *self.fusion.parameters()]


def load_weaktr(name: str, num_classes: int, options: WeakTrOptions | None = None) -> WeakTrGenerator:
    """Build a WeakTr generator from a pretrained ViT or DeiT.

    Args:
        name: Hub name, local folder, or "bundled/scenes".
        num_classes: K.
        options: Choices; None takes the defaults.

    Raises:
        ModelError: The checkpoint cannot be loaded or is not a ViT or DeiT.
    """
    source = resolve(name, WeakTrGenerator.bundled_backbone)
    return assemble_weaktr(load_pretrained("AutoModel", source), num_classes, image_statistics(source), options)


def assemble_weaktr(
    model: Any,
    num_classes: int,
    statistics: tuple[tuple[float, ...], tuple[float, ...]],
    options: WeakTrOptions | None = None,
) -> WeakTrGenerator:
    """Assemble a WeakTr generator around a transformers ``ViTModel`` or ``DeiTModel``.

    Args:
        model: The transformers model.
        num_classes: K.
        statistics: Mean and standard deviation of its preprocessing, RGB in [0, 1].
        options: Choices; None takes the defaults.

    Raises:
        ModelError: It is another kind of model.
    """
    chosen = options or WeakTrOptions()
    trunk = ClassTokenTransformer(model, num_classes, chosen.interpolation, chosen.leftover)
    fusion = AttentionFusion(
        len(trunk.layers),
        trunk.heads,
        trunk.width // trunk.heads,
        pool=chosen.pool,
        reduction=chosen.reduction,
        feat_reduction=chosen.feat_reduction,
        channels=chosen.head_channels,
    )
    return WeakTrGenerator(trunk, fusion, *statistics, kernel_size=chosen.kernel_size)
