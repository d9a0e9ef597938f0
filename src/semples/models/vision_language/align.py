"""ALIGN (Jia et al., arXiv 2102.05918): a convolutional image tower and a BERT."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from semples.models.layers.patches import enlarge_to
from semples.models.vision_language.adapter import Adapter, CutForward, DenseAttention
from semples.models.vision_language.attention import start_gradient


class AlignAdapter(Adapter):
    """A transformers ``AlignModel``: its text tower masks its padding and is read at the first position."""

    @property
    def logit_scale(self) -> float:
        """One over the temperature."""
        return 1 / float(self.model.temperature)

    def image_features(self, pixels: Tensor) -> Tensor:
        """Encode pixels of any size; a convolutional tower has no positions."""
        features: Tensor = self.model.get_image_features(pixel_values=pixels).pooler_output
        return features

    def text_features(self, embeddings: Tensor, ends: Tensor) -> Tensor:
        """Run the text tower with everything behind the ends masked."""
        is_text = torch.arange(embeddings.shape[1], device=ends.device) <= ends[:, None]
        output = self.model.get_text_features(inputs_embeds=embeddings, attention_mask=is_text.long())
        features: Tensor = output.pooler_output
        return features

    def end_positions(self, tokens: Tensor) -> Tensor:
        """Find the separator token of each text."""
        is_end: Tensor = tokens == self.tokenizer.sep_token_id
        return is_end.int().argmax(dim=1)

    def cut(self, pixels: Tensor) -> CutForward:
        """Cut behind the last feature map, which is pooled to the feature; images below the stride are enlarged."""
        with torch.no_grad():
            maps = self._last_maps(pixels)
            activations = start_gradient(maps.flatten(2).transpose(1, 2))
        with torch.enable_grad():
            # The tower's own pooling window is too small for large images.
            is_mean = self.model.vision_model.config.pooling_type == "mean"
            pooled = activations.mean(1) if is_mean else activations.amax(1)
            features = F.normalize(pooled, dim=-1)
        return CutForward(activations, features, (maps.shape[-2], maps.shape[-1]))

    @property
    def cell(self) -> int:
        """Stride of the last feature map: two for the stem, and the strides of the stages."""
        return 2 * int(math.prod(self.model.vision_model.config.strides))

    def dense_features(self, pixels: Tensor, attention: DenseAttention | None = None) -> Tensor:
        """Take each place of the last feature map, which lies in the joint space already; there is no attention.

        Raises:
            ModelError: An attention is given.
        """
        self.checked_attention(attention)
        return self._last_maps(pixels).permute(0, 2, 3, 1)

    def _last_maps(self, pixels: Tensor) -> Tensor:
        """Return the last feature map [B, C, h, w] in front of the pooling."""
        tower = self.model.vision_model
        maps: Tensor = tower.encoder(tower.embeddings(enlarge_to(pixels, self.cell))).last_hidden_state
        return maps
