"""Adaptive attention fusion of WeakTr (arXiv 2304.01184): one gated sum of a transformer's attention maps.

Shapes: B images, T tokens (class tokens first), D channels, H heads of d = D / H channels, N = depth * H maps.
Gates and scores are ordered head by head: entry head * depth + layer.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

Pool = Literal["max", "average"]
HeadChannels = Literal["contiguous", "strided"]


def pool_heads(output: Tensor, heads: int, pool: Pool, channels: HeadChannels) -> Tensor:
    """Pool one layer's attention output over all tokens, for each head.

    Args:
        output: Output of the layer's attention, after its projection and before the residual sum [B, T, D].
        heads: H.
        pool: Maximum or average over the tokens.
        channels: Which channels represent a head: "contiguous", the channels that the attention itself assigns to it
            (head j has channels j * d to j * d + d - 1), or "strided", as in WeakTr's published code (channel c goes
            to head c mod H).

    Returns:
        Features [B, H, d].
    """
    pooled = (
        output.amax(dim=1) if pool == "max" else output.mean(dim=1)
    )  # [B, D]; channels are pooled separately, so heads can be split afterwards
    batch, width = pooled.shape
    if channels == "strided":
        return pooled.view(batch, width // heads, heads).transpose(1, 2)
    return pooled.view(batch, heads, width // heads)


def attention_map(attention: Any, normed: Tensor) -> Tensor:
    """Compute the attention matrices softmax(q k / sqrt(d)) of a transformers ViT attention.

    Args:
        attention: The module, with ``q_proj``, ``k_proj``, ``head_dim`` and ``scaling``.
        normed: Its input [B, T, D], after the layer norm.

    Returns:
        Matrices [B, H, T, T], float32, whose rows (queries) sum to 1.
    """
    query, key = (
        project(normed).unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)  # [B, H, T, d]
        for project in (attention.q_proj, attention.k_proj)
    )
    return torch.softmax((query * attention.scaling) @ key.transpose(2, 3), dim=-1, dtype=torch.float32)


def gated_attention_sum(attentions: list[Any], inputs: list[Tensor], gates: Tensor) -> Tensor:
    """Sum gate * attention matrix over all layers and heads, and divide by their number N.

    The gates are known only after the last layer, so the matrices are recomputed here, one layer at a time. The
    backward pass recomputes them once more, so that never more than one layer's matrices are in memory. Only the
    layers' inputs are kept from the forward pass; they grow with T, not with its square.

    Args:
        attentions: The attention module of each layer.
        inputs: Input [B, T, D] of each, after the layer norm.
        gates: [B, N], head by head.

    Returns:
        [B, T, T], float32; gradients reach the gates, and the inputs and attention if they require them.
    """
    depth, (batch, tokens, _) = len(attentions), inputs[0].shape
    gates_by_layer = gates.unflatten(1, (-1, depth)).unbind(2)  # depth times [B, H]
    fused = torch.zeros(batch, tokens, tokens, device=gates.device)
    for attention, normed, gate in zip(attentions, inputs, gates_by_layer, strict=True):
        if torch.is_grad_enabled():
            layer_sum = checkpoint(_gated_layer, attention, normed, gate, use_reentrant=False, preserve_rng_state=False)
        else:
            layer_sum = _gated_layer(attention, normed, gate)
        fused += layer_sum
    return fused / gates.shape[1]


def _gated_layer(attention: Any, normed: Tensor, gate: Tensor) -> Tensor:
    maps = attention_map(attention, normed).flatten(2)  # [B, H, T * T]
    summed = gate[:, None].to(maps.dtype) @ maps  # [B, 1, T * T]
    return summed.float().view(len(normed), normed.shape[1], -1)


class AttentionFusion(nn.Module):
    """Computes a gate in (0, 1) for every attention map from the pooled features of all maps.

    A linear bottleneck, shared by all maps, reduces the d features of a map to one score; a squeeze-and-excite over the
    N scores yields the gates.

    Args:
        depth: Number of layers.
        heads: H.
        head_dim: d.
        pool: As in :func:`pool_heads` (published recipes: max for VOC, average for COCO).
        reduction: The N scores are squeezed to N / reduction (8 for VOC, 4 for COCO).
        feat_reduction: The d features are squeezed to d / feat_reduction.
        channels: As in :func:`pool_heads`.
    """

    def __init__(
        self,
        depth: int,
        heads: int,
        head_dim: int,
        *,
        pool: Pool = "max",
        reduction: int = 8,
        feat_reduction: int = 8,
        channels: HeadChannels = "contiguous",
    ) -> None:
        super().__init__()
        self.heads, self.pool, self.channels = heads, pool, channels
        maps, squeezed = depth * heads, max(1, head_dim // feat_reduction)
        hidden = max(1, maps // reduction)
        self.squeeze = nn.Linear(head_dim, squeezed)
        self.score = nn.Linear(squeezed, 1)
        self.mix_in = nn.Linear(maps, hidden, bias=False)
        self.mix_out = nn.Linear(hidden, maps, bias=False)

    def pool_layer(self, output: Tensor) -> Tensor:
        """Pool the attention output [B, T, D] of one layer to features [B, H, d]."""
        return pool_heads(output, self.heads, self.pool, self.channels)

    def forward(self, pooled: list[Tensor]) -> Tensor:
        """Compute the gates [B, N] from the pooled features [B, H, d] of each layer."""
        features = torch.stack(pooled, dim=2)  # [B, H, depth, d]
        scores = self.score(self.squeeze(features)).flatten(1)  # [B, N], head by head
        return torch.sigmoid(self.mix_out(torch.relu(self.mix_in(scores))))
