"""The phrases of each class that a vision-language model is given."""

from __future__ import annotations

from collections.abc import Sequence

from semples.errors import ConfigError
from semples.models.vision_language.model import VisionLanguageModel
from semples.records import ClassCatalogue


def usable_phrases(
    vision_language: VisionLanguageModel, catalogue: ClassCatalogue, suggestions: Sequence[Sequence[str]]
) -> tuple[tuple[tuple[str, ...], ...], list[str]]:
    """Join the phrases of each class with the suggested ones that the model's tokenizer knows and its encoder can read.

    Args:
        vision_language: The model.
        catalogue: The classes.
        suggestions: Suggested phrases of each class; empty for none.

    Returns:
        The phrases of each class, and the suggested ones that are left out.

    Raises:
        ConfigError: The tokenizer does not know one of several phrases of a class. A single one is accepted: the class
            would have no text without it.
    """
    phrases, left_out = [], []
    for name, own, suggested in zip(
        catalogue.names, catalogue.phrases, suggestions or ((),) * len(catalogue), strict=True
    ):
        unknown = next((phrase for phrase in own if not vision_language.knows(phrase)), None)
        if len(own) > 1 and unknown is not None:
            raise ConfigError(
                f'data.prompt_names.{name}: the vision-language model does not know "{unknown}"; remove it, or give '
                "words of its vocabulary"
            )
        known = [each for each in suggested if vision_language.knows(each) and vision_language.has_room(each)]
        left_out += [phrase for phrase in suggested if phrase not in known]
        phrases.append((*own, *known))
    return tuple(phrases), left_out
