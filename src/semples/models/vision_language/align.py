"""ALIGN (Jia et al., arXiv 2102.05918): a convolutional image tower and a BERT."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from semples.models.layers.patches import enlarge_to
from semples.models.vision_language.adapter import Adapter, CutForward
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
        tower = self.model.vision_model
        with torch.no_grad():
            pixels = enlarge_to(pixels, 2 * math.prod(tower.config.strides))
            maps = tower.encoder(tower.embeddings(pixels)).last_hidden_state  # [B, C, h, w]
            activations = start_gradient(maps.flatten(2).transpose(1, 2))
        with torch.enable_grad():
            # The tower's own pooling window is too small for large images.
            pooled = activations.mean(1) if tower.config.pooling_type == "mean" else activations.amax(1)
            features = F.normalize(pooled, dim=-1)
        return CutForward(activations, features, (maps.shape[-2], maps.shape[-1]))
