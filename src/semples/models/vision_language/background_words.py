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
    taken = {phrase for own in names for phrase in _folded(own)}
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


def usable_words_of_class(
    vision_language: VisionLanguageModel, phrases: Phrases, words: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Select the background words of one class that are not a phrase of it and that the model's tokenizer knows.

    A phrase of another class is a background like any other here.

    Args:
        vision_language: The model.
        phrases: One phrase or several for the class.
        words: Its words in ``data.background_words``.

    Returns:
        The words, and those that are left out.

    Raises:
        ConfigError: The text encoder does not read a word to its end.
    """
    usable = [word for word in words if word.casefold() not in _folded(phrases) and vision_language.knows(word)]
    vision_language.require_room("data.background_words", usable)
    return usable, [word for word in words if word not in usable]


def _folded(phrases: Phrases) -> set[str]:
    return {phrase.casefold() for phrase in ([phrases] if isinstance(phrases, str) else phrases)}
