"""Parts that the image towers of CLIP and SigLIP share: both are vision transformers of the same blocks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

AFFINITY_BLOCKS = 8
"""Number of last blocks over which attention is averaged, as in CLIP-ES."""


def pooled_image_features(model: Any, pixels: Tensor) -> Tensor:
    """Encode pixels [B, 3, S, S], interpolating position embeddings if S is not the size of the checkpoint."""
    is_own_size = pixels.shape[-1] == model.config.vision_config.image_size
    options = {} if is_own_size else {"interpolate_pos_encoding": True}
    features: Tensor = model.get_image_features(pixel_values=pixels, **options).pooler_output
    return features


def run_blocks(blocks: Any, hidden: Tensor, grid: tuple[int, int]) -> tuple[Tensor, list[Tensor]]:
    """Run transformer blocks on tokens [B, T, C].

    Returns:
        The tokens behind the last block, and the attention between patches [B, h * w, h * w] of each of the last
        blocks.
    """
    attentions = []
    for position, block in enumerate(blocks):
        if position >= len(blocks) - AFFINITY_BLOCKS:
            attentions.append(attention_between_patches(block.self_attn, block.layer_norm1(hidden), grid))
        hidden = block(hidden, None)
    return hidden, attentions


def attention_between_patches(attention: Any, normed: Tensor, grid: tuple[int, int]) -> Tensor:
    """Compute the attention [B, h * w, h * w] from patch (row) to patch (column) of a block, mean over its heads.

    Computed from queries and keys, because the fast attention kernels do not return it.

    Args:
        attention: The attention module of the block.
        normed: Its input [B, T, C].
        grid: Rows and columns of patches (h, w); tokens in front of them are dropped after the softmax.
    """
    shape = (*normed.shape[:2], attention.num_heads, attention.head_dim)
    queries, keys = (
        project(normed).view(shape).transpose(1, 2) for project in (attention.q_proj, attention.k_proj)
    )  # [B, heads, T, C / heads]
    weights: Tensor = (queries @ keys.transpose(-1, -2) * attention.scale).softmax(-1).mean(1)  # [B, T, T]
    first_patch = weights.shape[-1] - grid[0] * grid[1]
    return weights[:, first_patch:, first_patch:]


def correlative_attention(attention: Any, normed: Tensor) -> Tensor:
    """Run self-attention with the weights softmax(q q^T / sqrt d) + softmax(k k^T / sqrt d).

    This is the correlative self-attention of SCLIP (arXiv 2312.01597).

    Args:
        attention: The attention module of a block, with d channels per head.
        normed: Its input [B, T, C]; the class token takes part.

    Returns:
        Its output [B, T, C], projected like that of the attention it replaces.
    """
    shape = (*normed.shape[:2], attention.num_heads, attention.head_dim)
    queries, keys, values = (
        project(normed).view(shape).transpose(1, 2)
        for project in (attention.q_proj, attention.k_proj, attention.v_proj)
    )  # [B, heads, T, d]
    alike = [(tokens @ tokens.transpose(-1, -2) * attention.scale).softmax(-1) for tokens in (queries, keys)]
    mixed = (alike[0] + alike[1]) @ values
    output: Tensor = attention.out_proj(mixed.transpose(1, 2).flatten(2))
    return output


def average_of_last(attentions: list[Tensor]) -> Tensor:
    """Average the attention matrices of the last blocks."""
    return torch.stack(attentions[-AFFINITY_BLOCKS:]).mean(0)


def start_gradient(tokens: Tensor) -> Tensor:
    """Copy tokens to a leaf of the autograd graph, so that gradients end there."""
    return tokens.detach().clone().requires_grad_()
