"""CAMs from the vision-language model itself: softmax Grad-CAM of class texts against background texts.

Written after the formulas of CLIP-ES (arXiv 2212.09506). Shapes: B images, K classes, N backgrounds, T tokens, C
channels, D joint space, h x w patches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from semples.models.generators.base import FoundationGenerator, MaskGeneratorOutput
from semples.models.vision_language.background_words import usable_words
from semples.models.vision_language.class_texts import Phrases
from semples.models.vision_language.grad_cam import grad_cams
from semples.models.vision_language.model import VisionLanguageModel


class ClipGenerator(FoundationGenerator):
    """Softmax Grad-CAM of the present classes' texts against background texts; nothing in it is trained.

    Args:
        vision_language: The frozen model; shared, and not part of this module's state dict.
        names: One phrase or several for each of the K classes, worded for the model.
        background_words: Words for things that are never objects. Phrases of classes among them are dropped, and so
            are words that the model's tokenizer does not know.
        words_of_classes: Further such words, those of all classes in ``data.background_words``.

    Raises:
        ConfigError: No background word is left, or a text is too long for the text encoder.
    """

    needs_vision_language: ClassVar[bool] = True
    affinity_steps: ClassVar[int] = 2
    texts: Tensor
    backgrounds: Tensor

    def __init__(
        self,
        vision_language: VisionLanguageModel,
        names: Sequence[Phrases],
        background_words: Sequence[str],
        words_of_classes: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self._borrowed = (vision_language,)  # a tuple keeps its weights out of our state_dict
        words = usable_words(vision_language, names, background_words, words_of_classes)
        with torch.no_grad():
            self.register_buffer("texts", vision_language.encode_classes(names), persistent=False)
            self.register_buffer("backgrounds", vision_language.encode_classes(words))

    def forward(self, pixels: Tensor, labels: Tensor | None = None) -> MaskGeneratorOutput:
        """Compute CAMs [B, K, h, w] with a peak of 1 for present classes, 0 everywhere for absent ones.

        Args:
            pixels: [B, 3, H, W] in [0, 1], any size.
            labels: [B, K]; required, because the present classes compete.

        Returns:
            CAMs, logits {"clip": scaled cosines [B, K]}, and the attention between patches for vision transformers.

        Raises:
            ValueError: No labels.
        """
        if labels is None:
            raise ValueError(
                "mask generator clip: labels is None, expected [B, K]; give them, because the present classes compete"
            )
        (vision_language,) = self._borrowed
        cut = vision_language.cut(pixels)
        scale = vision_language.logit_scale
        cams = grad_cams(cut, self.texts, self.backgrounds, labels, scale)
        logits = scale * (cut.features.detach() @ self.texts.T)
        return MaskGeneratorOutput(cams, {"clip": logits}, cut.affinity)

    def replace_backgrounds(self, features: Tensor) -> None:
        """Let the classes compete with these features [N, D] from now on."""
        self.backgrounds = features.detach().to(self.texts)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load the backgrounds, whose number may differ from the current one."""
        self.backgrounds = torch.empty_like(state_dict["backgrounds"], device=self.texts.device)
        return super().load_state_dict(state_dict, strict, assign)
