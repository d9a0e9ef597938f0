"""CLIP (Radford et al., arXiv 2103.00020)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from semples.models.layers.patches import resize_to_whole_patches
from semples.models.vision_language.adapter import Adapter, CutForward, DenseAttention
from semples.models.vision_language.attention import (
    attention_between_patches,
    average_of_last,
    correlative_attention,
    pooled_image_features,
    run_blocks,
    start_gradient,
)


class ClipAdapter(Adapter):
    """A transformers ``CLIPModel``: its text tower looks back only and is read at the end token."""

    mean = (0.48145466, 0.4578275, 0.40821073)
    std = (0.26862954, 0.26130258, 0.27577711)
    dense_attentions = ("query_key", "value", "plain")

    def image_features(self, pixels: Tensor) -> Tensor:
        """Encode pixels, with interpolated positions at other sizes than the checkpoint's."""
        return pooled_image_features(self.model, pixels)

    def text_features(self, embeddings: Tensor, ends: Tensor) -> Tensor:
        """Run the text tower with a causal mask and project the end token."""
        tower = self.model.text_model
        hidden = tower.embeddings(inputs_embeds=embeddings)
        length = hidden.shape[1]
        causal = hidden.new_full((length, length), float("-inf")).triu(1)[None, None]
        hidden = tower.encoder(inputs_embeds=hidden, attention_mask=causal).last_hidden_state
        pooled = tower.final_layer_norm(hidden)[torch.arange(len(hidden), device=hidden.device), ends]
        features: Tensor = self.model.text_projection(pooled)
        return features

    def end_positions(self, tokens: Tensor) -> Tensor:
        """Find the end token of each text."""
        is_end: Tensor = tokens == self.tokenizer.eos_token_id
        return is_end.int().argmax(dim=1)

    def cut(self, pixels: Tensor) -> CutForward:
        """Cut behind the layer norm in front of the last attention, whose class token gathers all tokens.

        As CLIP-ES (arXiv 2212.09506): of the last block's output only the class token is used, so that the patches
        have no gradient there.
        """
        tower = self.model.vision_model
        pixels, grid = resize_to_whole_patches(pixels, tower.config.patch_size)
        with torch.no_grad():
            hidden = tower.pre_layrnorm(tower.embeddings(pixels, interpolate_pos_encoding=True))
            hidden, attentions = run_blocks(tower.encoder.layers[:-1], hidden, grid)
            last = tower.encoder.layers[-1]
            normed = last.layer_norm1(hidden)
            attentions.append(attention_between_patches(last.self_attn, normed, grid))
        activations = start_gradient(normed)
        with torch.enable_grad():
            attended = hidden + last.self_attn(hidden_states=activations, attention_mask=None)[0]
            class_token = attended[:, 0]  # the only one that is read
            class_token = class_token + last.mlp(last.layer_norm2(class_token))
            features = F.normalize(self.model.visual_projection(tower.post_layernorm(class_token)), dim=-1)
        return CutForward(activations, features, grid, average_of_last(attentions))

    @property
    def cell(self) -> int:
        """Side of a patch."""
        return int(self.model.vision_model.config.patch_size)

    def dense_features(self, pixels: Tensor, attention: DenseAttention | None = None) -> Tensor:
        """Project the patches of the last block, whose attention was trained to serve the class token, not them.

        "plain" runs the block as it is. "value" puts each token's own value in place of its attention (MaskCLIP, arXiv
        2112.01071), "query_key" the values of tokens with similar queries and of tokens with similar keys (SCLIP, arXiv
        2312.01597). Both leave out the residual and the feed-forward part of the block, which drown the attention
        (ClearCLIP, arXiv 2407.12442).
        """
        tower = self.model.vision_model
        pixels, grid = resize_to_whole_patches(pixels, self.cell)
        hidden = tower.pre_layrnorm(tower.embeddings(pixels, interpolate_pos_encoding=True))
        for block in tower.encoder.layers[:-1]:
            hidden = block(hidden, None)
        tokens = self._attended(tower.encoder.layers[-1], hidden, self.checked_attention(attention))[:, 1:]
        features: Tensor = self.model.visual_projection(tower.post_layernorm(tokens)).unflatten(1, grid)
        return features

    @staticmethod
    def _attended(block: Any, hidden: Tensor, attention: DenseAttention | None) -> Tensor:
        """Run the last block on tokens [B, T, C] with one of ``dense_attentions``."""
        if attention == "plain":
            tokens: Tensor = block(hidden, None)
            return tokens
        normed = block.layer_norm1(hidden)
        if attention == "query_key":
            return correlative_attention(block.self_attn, normed)
        values: Tensor = block.self_attn.out_proj(block.self_attn.v_proj(normed))
        return values
