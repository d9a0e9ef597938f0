"""Generic background words, as far as a vision-language model knows them."""

from __future__ import annotations

from collections.abc import Sequence

from semples.errors import ConfigError
from semples.models.vision_language.model import VisionLanguageModel


def usable_words(vision_language: VisionLanguageModel, names: Sequence[str], words: Sequence[str]) -> list[str]:
    """Select the background words that are not a class name and that the model's tokenizer knows.

    Raises:
        ConfigError: No word is left.
    """
    taken = {name.casefold() for name in names}
    usable = [word for word in dict.fromkeys(words) if word.casefold() not in taken and vision_language.knows(word)]
    if not usable:
        raise ConfigError(
            f"mask_generator.background_words: none of {list(words)} is both known to the vision-language model and "
            "not a class; give words for backgrounds that it knows"
        )
    return usable
