"""The end of stage 2: prompts that became their own class are mended, or left out of stage 3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from semples.method.mending import describes_backgrounds, without_class
from semples.models.vision_language.vocabulary import nearest_words
from semples.records import ClassCatalogue
from semples.runtime.regions import CachedRegions


@dataclass(frozen=True)
class FinalPrompts:
    """Prompts after mending.

    Attributes:
        features: Features [K, D]: mended where that helped, as learned everywhere else.
        mended: Which prompts were mended, bool [K].
        left_out: Which classes stage 3 has to leave out, bool [K].
    """

    features: Tensor
    mended: Tensor
    left_out: Tensor


def mend_prompts(
    prompts: Tensor,
    texts: Tensor,
    regions: CachedRegions,
    words: Sequence[str],
    word_features: Tensor,
    catalogue: ClassCatalogue,
) -> FinalPrompts:
    """Remove the class from each prompt whose nearest word is a word of its own class.

    A class is left out if the word nearest to its mended prompt is still its own, or if what remains of the prompt does
    not describe the backgrounds.

    Args:
        prompts: Features [K, D] of the learned prompts.
        texts: Features [K, D] of the classes' texts.
        regions: Backgrounds that the prompts were learned on.
        words: N candidate words.
        word_features: Their features [N, D].
        catalogue: The classes.
    """

    def names_itself(features: Tensor) -> Tensor:
        nearest = nearest_words(features, words, word_features, 1)
        own = [catalogue.is_own_word(index, word) for index, ((word, _),) in enumerate(nearest)]
        return torch.tensor(own, device=features.device)

    collapsed = names_itself(prompts)
    rest = without_class(prompts, texts)
    background, classes = regions.features.mean(0).to(rest), regions.classes.to(rest.device)
    mended = collapsed & ~names_itself(rest) & describes_backgrounds(rest, background, classes, word_features)
    return FinalPrompts(torch.where(mended[:, None], rest, prompts), mended, collapsed & ~mended)
