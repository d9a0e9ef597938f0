"""Generic background words, as far as a vision-language model knows them."""

from __future__ import annotations

from collections.abc import Sequence

from semples.errors import ConfigError
from semples.models.vision_language.class_texts import Phrases
from semples.models.vision_language.model import VisionLanguageModel


def usable_words(
    vision_language: VisionLanguageModel,
    names: Sequence[Phrases],
    words: Sequence[str],
    words_of_classes: Sequence[str] = (),
) -> list[str]:
    """Select the background words that are not a phrase of a class and that the model's tokenizer knows.

    Args:
        vision_language: The model.
        names: One phrase or several for each class.
        words: Setting ``mask_generator.background_words``.
        words_of_classes: The words of all classes in ``data.background_words``, which join the others.

    Raises:
        ConfigError: No word is left, or the text encoder does not read one to its end.
    """
    given = {"mask_generator.background_words": words, "data.background_words": words_of_classes}
    taken = {phrase.casefold() for own in names for phrase in ([own] if isinstance(own, str) else own)}
    usable: dict[str, None] = {}  # an ordered set
    for setting, listed in given.items():
        known = [word for word in listed if word.casefold() not in taken and vision_language.knows(word)]
        vision_language.require_room(setting, known)
        usable |= dict.fromkeys(known)
    if not usable:
        raise ConfigError(
            f"mask_generator.background_words: none of {[*words, *words_of_classes]} is both known to the "
            "vision-language model and not a class; give words for backgrounds that it knows"
        )
    return list(usable)
