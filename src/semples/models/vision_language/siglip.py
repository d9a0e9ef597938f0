"""SigLIP (Zhai et al., arXiv 2303.15343), and SigLIP 2 of fixed resolution."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from semples.errors import ModelError
from semples.models.layers.patches import resize_to_whole_patches
from semples.models.vision_language.adapter import Adapter, CutForward, DenseAttention
from semples.models.vision_language.attention import (
    average_of_last,
    pooled_image_features,
    run_blocks,
    start_gradient,
)


class SiglipAdapter(Adapter):
    """A transformers ``SiglipModel``: its text tower attends to its padding and is read at the last position."""

    score = "sigmoid"
    dense_attentions = ("value",)

    def image_features(self, pixels: Tensor) -> Tensor:
        """Encode pixels, with interpolated positions at other sizes than the checkpoint's."""
        return pooled_image_features(self.model, pixels)

    def text_features(self, embeddings: Tensor, ends: Tensor) -> Tensor:
        """Run the text tower without a mask and project the last position."""
        tower = self.model.text_model
        hidden = tower.embeddings(inputs_embeds=embeddings)
        hidden = tower.encoder(inputs_embeds=hidden, attention_mask=None).last_hidden_state
        pooled = tower.final_layer_norm(hidden)[torch.arange(len(hidden), device=hidden.device), ends]
        features: Tensor = tower.head(pooled)
        return features

    def end_positions(self, tokens: Tensor) -> Tensor:
        """Return the last position, because the padding is read too."""
        return torch.full((len(tokens),), tokens.shape[1] - 1, device=tokens.device)

    def padding(self, room: int) -> list[int]:
        """Fill all free positions with padding tokens."""
        return [self.tokenizer.pad_token_id] * room

    def as_trained(self, text: str) -> str:
        """Return the text in lower case, which some tokenizers of SigLIP 2 do not produce themselves."""
        return text.lower()

    def cut(self, pixels: Tensor) -> CutForward:
        """Cut behind the last layer norm, whose tokens the attention pooling head gathers.

        Raises:
            ModelError: The model has no pooling head.
        """
        tower, head = self.model.vision_model, self._pooling_head()
        pixels, grid = resize_to_whole_patches(pixels, tower.config.patch_size)
        with torch.no_grad():
            hidden = tower.embeddings(pixels, interpolate_pos_encoding=True)
            hidden, attentions = run_blocks(tower.encoder.layers, hidden, grid)
            activations = start_gradient(tower.post_layernorm(hidden))
        with torch.enable_grad():
            features = F.normalize(head(activations), dim=-1)
        return CutForward(activations, features, grid, average_of_last(attentions))

    @property
    def cell(self) -> int:
        """Side of a patch."""
        return int(self.model.vision_model.config.patch_size)

    def dense_features(self, pixels: Tensor, attention: DenseAttention | None = None) -> Tensor:
        """Send each patch alone through the pooling head: what it would return if its probe looked at this patch only.

        The idea of MaskCLIP (arXiv 2112.01071) for a model that gathers its tokens in a head: the token's own value,
        the output projection of the attention, and the feed-forward part with its residual, as for the probe. The head
        has one query for all images, so that "value" is the only attention.

        Raises:
            ModelError: The model has no pooling head, or another attention is given.
        """
        self.checked_attention(attention)
        tower, head = self.model.vision_model, self._pooling_head()
        pixels, grid = resize_to_whole_patches(pixels, self.cell)
        hidden = tower.embeddings(pixels, interpolate_pos_encoding=True)
        for block in tower.encoder.layers:
            hidden = block(hidden, None)
        tokens = tower.post_layernorm(hidden)
        # The input projections of query, key and value are stacked: [3 C, C].
        weight, bias = (part.chunk(3)[2] for part in (head.attention.in_proj_weight, head.attention.in_proj_bias))
        attended = head.attention.out_proj(F.linear(tokens, weight, bias))
        features: Tensor = (attended + head.mlp(head.layernorm(attended))).unflatten(1, grid)
        return features

    def _pooling_head(self) -> Any:
        head = getattr(self.model.vision_model, "head", None)
        if head is None:
            raise ModelError(
                "vision_language.model: this SigLIP has no pooling head, which mask generators clip and dense need; "
                "use another model"
            )
        return head
