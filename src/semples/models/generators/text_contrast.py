"""The common part of mask generators that contrast class texts with background texts, ``clip`` and ``dense``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from semples.models.generators.base import FoundationGenerator
from semples.models.vision_language.background_words import usable_words
from semples.models.vision_language.class_texts import Phrases
from semples.models.vision_language.model import VisionLanguageModel


class TextContrastGenerator(FoundationGenerator):
    """Texts of the classes [K, D] and of the backgrounds [N, D], from a frozen vision-language model.

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
    label: ClassVar[str]
    """Name of the generator in settings and errors."""
    needs_backgrounds: ClassVar[bool] = True
    """Whether an empty list of background words is an error; otherwise it means that there are none."""
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
        contrasts = self.needs_backgrounds or background_words or words_of_classes
        words = usable_words(vision_language, names, background_words, words_of_classes) if contrasts else []
        with torch.no_grad():
            texts = vision_language.encode_classes(names)
            backgrounds = vision_language.encode_classes(words) if words else texts[:0]
        self.register_buffer("texts", texts, persistent=False)
        self.register_buffer("backgrounds", backgrounds.clone())

    @property
    def vision_language(self) -> VisionLanguageModel:
        """The frozen model."""
        return self._borrowed[0]

    def require_labels(self, labels: Tensor | None) -> Tensor:
        """Return the labels [B, K].

        Raises:
            ValueError: There are none.
        """
        if labels is None:
            raise ValueError(
                f"mask generator {self.label}: labels is None, expected [B, K]; give them, because the present classes "
                "compete"
            )
        return labels

    def replace_backgrounds(self, features: Tensor) -> None:
        """Let the classes compete with these features [N, D] from now on."""
        self.backgrounds = features.detach().to(self.texts)

    def generic_background(self) -> Tensor | None:
        """Return the normalized mean [D] of the background texts."""
        return F.normalize(self.backgrounds.mean(0), dim=0) if len(self.backgrounds) else None

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load the backgrounds, whose number may differ from the current one."""
        self.backgrounds = torch.empty_like(state_dict["backgrounds"], device=self.texts.device)
        return super().load_state_dict(state_dict, strict, assign)
