"""WeakTr generators of explicit sizes, every step they compute, and the layout of the golden numbers' weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import ViTConfig, ViTModel

from semples.models.generators.weaktr.fusion import attention_map, gated_attention_sum
from semples.models.generators.weaktr.generator import WeakTrGenerator, WeakTrOptions, assemble_weaktr
from semples.models.generators.weaktr.weights import QKV, Names, module_names
from semples.models.loading import IMAGENET_MEAN, IMAGENET_STD

GOLDEN_NAMES: Names = {
    "class_tokens": ("trunk.class_tokens",),
    "pos.class": ("trunk.class_positions",),
    "pos.patch": ("trunk.patch_positions",),
    **module_names("patch", "trunk.patch_embeddings.projection"),
    **module_names("layer{i}.norm_a", "trunk.layers.{i}.layernorm_before", theirs=("scale", "shift")),
    **module_names("layer{i}.norm_b", "trunk.layers.{i}.layernorm_after", theirs=("scale", "shift")),
    **module_names("layer{i}.qkv", *QKV),
    **module_names("layer{i}.out", "trunk.layers.{i}.attention.o_proj"),
    **module_names("layer{i}.mlp_in", "trunk.layers.{i}.mlp.fc1"),
    **module_names("layer{i}.mlp_out", "trunk.layers.{i}.mlp.fc2"),
    **module_names("head", "head"),
    **module_names("fusion.squeeze", "fusion.squeeze"),
    **module_names("fusion.score", "fusion.score"),
    **module_names("fusion.mix_in", "fusion.mix_in", bias=False),
    **module_names("fusion.mix_out", "fusion.mix_out", bias=False),
}
"""Names of the golden numbers -> ours."""


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
    """Build a generator with random weights from explicit sizes (DeiT-S/16: 224, 16, 384, 12, 6, 1536)."""
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


@dataclass(frozen=True)
class WeakTrTrace:
    """Everything that a WeakTr generator computes before its logits; T = K + h * w tokens, class tokens first.

    Attributes:
        attention_outputs: Output of each layer's attention before the residual sum [depth, B, T, D].
        attention: Attention matrices [depth, B, H, T, T], rows are queries.
        gates: Gate of each map in (0, 1) [B, H * depth], entry head * depth + layer.
        tokens: Tokens after the last layer [B, T, D].
        coarse_map: ReLU of the convolution [B, K, h, w].
        class_attention: Fused class-to-patch attention [B, K, h, w].
        cams: class_attention * coarse_map [B, K, h, w].
        fine_cams: Affinity applied to them [B, K, h, w].
    """

    attention_outputs: Tensor
    attention: Tensor
    gates: Tensor
    tokens: Tensor
    coarse_map: Tensor
    class_attention: Tensor
    cams: Tensor
    fine_cams: Tensor


def trace(generator: WeakTrGenerator, pixels: Tensor) -> WeakTrTrace:
    """Compute every step of the generator, from the pieces that its forward pass is made of."""
    encoded = generator.encode(pixels)
    attentions = generator.trunk.attentions
    layers = list(zip(attentions, encoded.inputs, strict=True))
    gates = generator.fusion(encoded.pooled)
    maps = generator.make_maps(encoded, gated_attention_sum(attentions, encoded.inputs, gates))
    return WeakTrTrace(
        attention_outputs=torch.stack([attention(normed)[0] for attention, normed in layers]),
        attention=torch.stack([attention_map(attention, normed) for attention, normed in layers]),
        gates=gates,
        tokens=encoded.tokens,
        coarse_map=F.relu(maps.scores),
        class_attention=maps.class_attention,
        cams=maps.cams,
        fine_cams=maps.fine_cams,
    )
