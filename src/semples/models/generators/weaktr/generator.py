"""The WeakTr mask generator (arXiv 2304.01184): class tokens, attention fusion and a coarse CAM."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semples.models.generators.base import MaskGenerator, MaskGeneratorOutput
from semples.models.generators.registry import BUNDLED_VIT
from semples.models.generators.weaktr.fusion import (
    AttentionFusion,
    HeadChannels,
    Pool,
    attention_map,
    gated_attention_sum,
)
from semples.models.generators.weaktr.transformer import (
    ClassTokenTransformer,
    Leftover,
    PositionInterpolation,
    run_layer,
)
from semples.models.layers.normalize import Normalize
from semples.models.loading import IMAGENET_MEAN, IMAGENET_STD, image_statistics, load_pretrained, resolve


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
class WeakTrTrace:
    """Everything that a WeakTr generator computes on the way to its CAMs; T = K + h * w tokens, class tokens first.

    Attributes:
        attention_outputs: Output of each layer's attention before the residual sum [depth, B, T, D].
        attention: Attention matrices [depth, B, H, T, T], rows are queries.
        gates: Gate of each map in (0, 1) [B, H * depth], entry head * depth + layer.
        tokens: Tokens after the last layer [B, T, D].
        coarse_map: ReLU of the convolution [B, K, h, w].
        class_attention: Fused class-to-patch attention [B, K, h, w].
        affinity: Fused patch-to-patch attention [B, hw, hw].
        cams: class_attention * coarse_map [B, K, h, w].
        fine_cams: Affinity applied to them [B, K, h, w].
        logits: {"class_token", "coarse", "fused"}, each [B, K].
    """

    attention_outputs: Tensor
    attention: Tensor
    gates: Tensor
    tokens: Tensor
    coarse_map: Tensor
    class_attention: Tensor
    affinity: Tensor
    cams: Tensor
    fine_cams: Tensor
    logits: dict[str, Tensor]


@dataclass(frozen=True)
class _Encoded:
    """Result of the trunk: final tokens, the layers' attention inputs, pooled attention outputs, patch grid."""

    tokens: Tensor
    inputs: list[Tensor]
    pooled: list[Tensor]
    grid: tuple[int, int]


class WeakTrGenerator(MaskGenerator):
    """Fine CAMs of WeakTr: patch-to-patch attention applied to class-to-patch attention times a coarse CAM.

    In stage 0 everything learns, attention included. After :meth:`freeze_trunk` features and attention are
    constants, and only the convolution and the fusion learn. The CAMs' range is what the eps of stages 1 and 3 was
    made for, so they are not divided by their peak.

    Args:
        trunk: The vision transformer with class tokens.
        fusion: Gates of its attention maps.
        mean: Mean colour of its preprocessing, RGB in [0, 1].
        std: Standard deviation of its preprocessing.
        kernel_size: Side of the coarse CAM's convolution, odd.
    """

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
        encoded = self._encode(pixels)
        fused = gated_attention_sum(self.trunk.attentions, encoded.inputs, self.fusion(encoded.pooled))
        parts = self._maps(encoded, fused)
        return MaskGeneratorOutput(parts["fine_cams"], _logits(encoded.tokens, parts), parts["affinity"])

    def trace(self, pixels: Tensor) -> WeakTrTrace:
        """Compute what :meth:`forward` does and return every step of it.

        Keeps all attention maps, depth * H * T * T numbers an image: for small images, looking and testing.
        """
        encoded = self._encode(pixels)
        attentions = self.trunk.attentions
        layers = list(zip(attentions, encoded.inputs, strict=True))
        gates = self.fusion(encoded.pooled)
        parts = self._maps(encoded, gated_attention_sum(attentions, encoded.inputs, gates))
        return WeakTrTrace(
            attention_outputs=torch.stack([attention(normed)[0] for attention, normed in layers]),
            attention=torch.stack([attention_map(attention, normed) for attention, normed in layers]),
            gates=gates,
            tokens=encoded.tokens,
            coarse_map=F.relu(parts["scores"]),
            class_attention=parts["class_attention"],
            affinity=parts["affinity"],
            cams=parts["cams"],
            fine_cams=parts["fine_cams"],
            logits=_logits(encoded.tokens, parts),
        )

    def _encode(self, pixels: Tensor) -> _Encoded:
        """Run the trunk; without gradients once it is frozen."""
        with torch.no_grad() if self._trunk_is_frozen else nullcontext():
            hidden, grid = self.trunk.embed(self.normalize_pixels(pixels))
            inputs, pooled = [], []
            for layer in self.trunk.layers:
                normed, output, hidden = run_layer(layer, hidden)
                inputs.append(normed)
                pooled.append(self.fusion.pool_layer(output))
        return _Encoded(hidden, inputs, pooled, grid)

    def _maps(self, encoded: _Encoded, fused: Tensor) -> dict[str, Tensor]:
        """Coarse scores, fused attention [B, T, T] split by its rows, and the CAMs made of them.

        Never in half precision: fine CAMs can be of low contrast, and min-max would show its steps.
        """
        classes = self.num_classes
        with torch.autocast(fused.device.type, enabled=False):
            tokens = encoded.tokens[:, classes:].to(self.head.weight.dtype)
            patches = tokens.transpose(1, 2).unflatten(2, encoded.grid)  # [B, D, h, w]
            scores = self.head(patches)  # [B, K, h, w]
            class_attention = fused[:, :classes, classes:].unflatten(2, encoded.grid)  # [B, K, h, w]
            affinity = fused[:, classes:, classes:]  # [B, hw, hw]
            cams = class_attention * F.relu(scores)
            fine = cams.flatten(2) @ affinity.transpose(1, 2)  # [B, K, hw]
        return {
            "scores": scores,
            "class_attention": class_attention,
            "affinity": affinity,
            "cams": cams,
            "fine_cams": fine.unflatten(2, encoded.grid),
        }

    def train(self, mode: bool = True) -> WeakTrGenerator:
        """Switch to training; a frozen trunk stays in evaluation mode."""
        super().train(mode)
        if self._trunk_is_frozen:
            self.trunk.eval()
        return self

    def freeze_trunk(self) -> None:
        """Train the convolution and the fusion only: features and attention become constants."""
        self._trunk_is_frozen = True
        self.trunk.requires_grad_(False).eval()

    def trunk_parameters(self) -> list[nn.Parameter]:
        """Parameters of the transformer, class tokens among them."""
        return list(self.trunk.parameters())

    def head_parameters(self) -> list[nn.Parameter]:
        """Parameters of the convolution and the fusion."""
        return [*self.head.parameters(), *self.fusion.parameters()]


def _logits(tokens: Tensor, parts: dict[str, Tensor]) -> dict[str, Tensor]:
    classes = parts["scores"].shape[1]
    return {
        "class_token": tokens[:, :classes].mean(dim=2),
        "coarse": parts["scores"].mean(dim=(2, 3)),
        "fused": parts["fine_cams"].mean(dim=(2, 3)),
    }


def load_weaktr(name: str, num_classes: int, options: WeakTrOptions | None = None) -> WeakTrGenerator:
    """Make a WeakTr generator from a pretrained ViT or DeiT.

    Args:
        name: Hub name, local folder, or "bundled".
        num_classes: K.
        options: Choices; None takes the defaults.

    Raises:
        ModelError: The checkpoint cannot be loaded or is no ViT or DeiT.
    """
    source = resolve(name, BUNDLED_VIT)
    return assemble_weaktr(load_pretrained("AutoModel", source), num_classes, image_statistics(source), options)


def build_weaktr(
    num_classes: int,
    *,
    image_size: int,
    patch_size: int,
    width: int,
    depth: int,
    heads: int,
    mlp_width: int,
    layer_norm_eps: float = 1e-6,
    statistics: tuple[tuple[float, ...], tuple[float, ...]] = (IMAGENET_MEAN, IMAGENET_STD),
    options: WeakTrOptions | None = None,
) -> WeakTrGenerator:
    """Make a WeakTr generator with random weights from explicit sizes (DeiT-S/16: 224, 16, 384, 12, 6, 1536).

    Args:
        num_classes: K.
        image_size: Side in pixels that the position embeddings are for.
        patch_size: Side of a patch in pixels.
        width: D.
        depth: Number of layers.
        heads: H.
        mlp_width: Hidden width of the layers' MLP.
        layer_norm_eps: Of the layers' norms.
        statistics: Mean and standard deviation of the preprocessing, RGB in [0, 1].
        options: Choices; None takes the defaults.
    """
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        intermediate_size=mlp_width,
        image_size=image_size,
        patch_size=patch_size,
        layer_norm_eps=layer_norm_eps,
    )
    return assemble_weaktr(ViTModel(config, add_pooling_layer=False), num_classes, statistics, options)


def assemble_weaktr(
    model: Any,
    num_classes: int,
    statistics: tuple[tuple[float, ...], tuple[float, ...]],
    options: WeakTrOptions | None = None,
) -> WeakTrGenerator:
    """Put a WeakTr generator together around a transformers ``ViTModel`` or ``DeiTModel``.

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
