"""Image towers cut in two where Grad-CAM looks: activations with a place in the image, and what is made of them.

Shapes: B images, h x w patches or feature cells, T tokens (h * w, and one more in front for CLIP), C channels, D joint
space.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from semples.errors import ModelError
from semples.models.layers.patches import at_least, whole_patches
from semples.models.vision_language.model import VisionLanguageModel

AFFINITY_BLOCKS = 8
"""Attention is averaged over so many last blocks, as in CLIP-ES."""


@dataclass(frozen=True)
class CutForward:
    """One forward pass.

    Attributes:
        activations: [B, T, C], the start of the gradient; the last h * w tokens are the patches, row by row.
        features: Image features [B, D], L2-normalised, a function of the activations alone.
        grid: Rows and columns (h, w).
        affinity: Attention between patches [B, h * w, h * w], mean over heads and last blocks; None without attention.
    """

    activations: Tensor
    features: Tensor
    grid: tuple[int, int]
    affinity: Tensor | None = None


def cut_forward(vision_language: VisionLanguageModel, pixels: Tensor) -> CutForward:
    """Run the image tower on pixels [B, 3, H, W] in [0, 1] of any size; gradients go back to the cut and no further.

    The cut is the last place before the image becomes one vector where every position still has its own token:

    - CLIP: the tokens after the layer norm in front of the last attention, whose class token gathers them (CLIP-ES,
      arXiv 2212.09506; of the last block's output only the class token is used, so patches have no gradient there).
    - SigLIP: the tokens after the last layer norm, which the attention pooling head gathers.
    - ALIGN: the last feature map, which is pooled to the feature.

    Positions are interpolated; sides that are no multiple of the patch are resized to the nearest, and those of ALIGN
    that are smaller than its stride to it.

    Raises:
        ModelError: A SigLIP without its pooling head.
    """
    pixels = (pixels - vision_language.mean) / vision_language.std
    cut = {"clip": _cut_clip, "siglip": _cut_siglip, "align": _cut_align}[vision_language.kind]
    return cut(vision_language.model, pixels)


def _cut_clip(model: Any, pixels: Tensor) -> CutForward:
    tower = model.vision_model
    pixels, grid = whole_patches(pixels, tower.config.patch_size)
    with torch.no_grad():
        hidden = tower.pre_layrnorm(tower.embeddings(pixels, interpolate_pos_encoding=True))
        hidden, attentions = _through_blocks(tower.encoder.layers[:-1], hidden, grid)
        last = tower.encoder.layers[-1]
        normed = last.layer_norm1(hidden)
        attentions.append(attention_between_patches(last.self_attn, normed, grid))
    activations = _leaf(normed)
    with torch.enable_grad():
        attended = hidden + last.self_attn(hidden_states=activations, attention_mask=None)[0]
        token = attended[:, 0]  # only the class token is read
        token = token + last.mlp(last.layer_norm2(token))
        features = F.normalize(model.visual_projection(tower.post_layernorm(token)), dim=-1)
    return CutForward(activations, features, grid, _mean_of_last(attentions))


def _cut_siglip(model: Any, pixels: Tensor) -> CutForward:
    tower = model.vision_model
    if getattr(tower, "head", None) is None:
        raise ModelError("this SigLIP has no pooling head, so that mask generator clip cannot use it: use another")
    pixels, grid = whole_patches(pixels, tower.config.patch_size)
    with torch.no_grad():
        hidden = tower.embeddings(pixels, interpolate_pos_encoding=True)
        hidden, attentions = _through_blocks(tower.encoder.layers, hidden, grid)
        activations = _leaf(tower.post_layernorm(hidden))
    with torch.enable_grad():
        features = F.normalize(tower.head(activations), dim=-1)
    return CutForward(activations, features, grid, _mean_of_last(attentions))


def _cut_align(model: Any, pixels: Tensor) -> CutForward:
    tower = model.vision_model
    with torch.no_grad():
        pixels = at_least(pixels, 2 * math.prod(tower.config.strides))
        maps = tower.encoder(tower.embeddings(pixels)).last_hidden_state  # [B, C, h, w]
        activations = _leaf(maps.flatten(2).transpose(1, 2))
    with torch.enable_grad():
        # The tower's own pooling window is too small for large images.
        pooled = activations.mean(1) if tower.config.pooling_type == "mean" else activations.amax(1)
        features = F.normalize(pooled, dim=-1)
    return CutForward(activations, features, (maps.shape[-2], maps.shape[-1]))


def _leaf(tokens: Tensor) -> Tensor:
    return tokens.detach().clone().requires_grad_()


def _through_blocks(blocks: Any, hidden: Tensor, grid: tuple[int, int]) -> tuple[Tensor, list[Tensor]]:
    """Run transformer blocks; return the attention between patches [B, hw, hw] of the last ones too."""
    kept = []
    for position, block in enumerate(blocks):
        if position >= len(blocks) - AFFINITY_BLOCKS:
            kept.append(attention_between_patches(block.self_attn, block.layer_norm1(hidden), grid))
        hidden = block(hidden, None)
    return hidden, kept


def attention_between_patches(attention: Any, normed: Tensor, grid: tuple[int, int]) -> Tensor:
    """Attention [B, hw, hw] from patch (row) to patch (column) of a CLIP or SigLIP block, mean over its heads.

    Computed from queries and keys, because the fast attention kernels return none.

    Args:
        attention: The block's attention module.
        normed: Its input [B, T, C].
        grid: Rows and columns of patches; tokens in front of them are left out after the softmax.
    """
    shape = (*normed.shape[:2], attention.num_heads, attention.head_dim)
    queries, keys = (
        project(normed).view(shape).transpose(1, 2) for project in (attention.q_proj, attention.k_proj)
    )  # [B, heads, T, C / heads]
    weights: Tensor = (queries @ keys.transpose(-1, -2) * attention.scale).softmax(-1).mean(1)  # [B, T, T]
    first = weights.shape[-1] - grid[0] * grid[1]
    return weights[:, first:, first:]


def _mean_of_last(attentions: list[Tensor]) -> Tensor:
    return torch.stack(attentions[-AFFINITY_BLOCKS:]).mean(0)
