"""What the training asks of each photograph: sentences, and words that match or do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from photo_data import Photo, split_words, tag_names
from photo_words import COCO_CLASSES, IMAGENET_GROUPS, TEMPLATES, phrases_of

COMMON = 30
"""Number of captions that a word must be in to be asked for by itself."""
STOP_WORDS = frozenset(
    split_words("""
    a an the is are was were be being been has have had do does it its he his she her him you they their them this that
    these those there here who whom which what while as at by for from in into of off on onto out over up down to with
    through near next behind front along across around under above between against toward towards before after and or
    but not no one two three four five six several some many few other another each both all very just like about back
    side top bottom middle left right large big small little way looks looking look made make takes taking gets getting
    get something someone s t can than then so only together
    """)
)
"""Words that say nothing of what is in a photograph."""


@dataclass(frozen=True)
class Queries:
    """Words asked of the photographs.

    Attributes:
        names: COCO classes first, then the captions' words.
        matches: int8 [N, names]: 1 where the word belongs to the photograph, 0 where not, -1 where nobody knows.
    """

    names: tuple[str, ...]
    matches: Tensor


def build_queries(photos: Sequence[Photo], counts: Mapping[str, int]) -> Queries:
    """Find which words match which photographs, from tags and from all captions of a photograph."""
    owner = {phrase: number for number, name in enumerate(COCO_CLASSES) for phrase in phrases_of(name)}
    others = [
        word for word, count in counts.items() if count >= COMMON and word not in STOP_WORDS and word not in owner
    ]
    synonyms = [word for word in owner if counts.get(word, 0) >= COMMON and word not in COCO_CLASSES]
    names = (*COCO_CLASSES, *synonyms, *others)
    matches = torch.full((len(photos), len(names)), -1, dtype=torch.int8)
    for row, photo in enumerate(photos):
        if photo.tags is not None:
            matches[row, : len(COCO_CLASSES)] = 0
            matches[row, sorted(photo.tags)] = 1
            for column, word in enumerate(synonyms, start=len(COCO_CLASSES)):
                if owner[word] not in photo.tags:
                    matches[row, column] = 0
            continue
        text = f" {' '.join(photo.captions)} "
        for column, name in enumerate(names):
            phrases = phrases_of(name) if column < len(COCO_CLASSES) else (name,)
            matches[row, column] = any(f" {phrase} " in text or f" {phrase}s " in text for phrase in phrases)
    return Queries(names, matches)


def draw_sentence(photo: Photo, rng: np.random.Generator) -> str:
    """Draw one of the captions, or a sentence that lists some of the tags by one of their phrases."""
    if photo.captions:
        return str(rng.choice(photo.captions))
    names = tag_names(photo) or ["background"]
    kept = rng.permutation(names)[: rng.integers(1, 5)]
    return fill_template(" and ".join(with_article(draw_phrase(str(name), rng)) for name in kept), rng)


def draw_phrase(name: str, rng: np.random.Generator) -> str:
    """Draw a phrase for a class; half of the time its common name, and plain words stay themselves."""
    phrases = phrases_of(name) if name in COCO_CLASSES else (name,)
    return phrases[0] if rng.random() < 0.5 else str(rng.choice(phrases))


def fill_template(text: str, rng: np.random.Generator) -> str:
    """Put a text into a random template."""
    return str(rng.choice(TEMPLATES)).format(text)


def with_article(name: str) -> str:
    """Put an indefinite article in front of a name."""
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def imagenet_texts(names: Sequence[str], vocabulary: Sequence[str]) -> tuple[list[str], Tensor]:
    """Turn ImageNet's classes into texts of known words.

    Args:
        names: Of the 1,000 classes, in order.
        vocabulary: Words that the text tower knows.

    Returns:
        T different texts, and the matrix [1000, T] that sums the probabilities of the classes that share one. Classes
        with unknown words have a row of zeros.
    """
    grouped = {number: word for word, numbers in IMAGENET_GROUPS.items() for number in numbers}
    known = set(vocabulary)
    texts: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        text = grouped.get(number, name.lower().replace("-", " ").replace("'", ""))
        if set(text.split()) <= known:
            texts.setdefault(text, []).append(number)
    matrix = torch.zeros(1000, len(texts))
    for column, numbers in enumerate(texts.values()):
        matrix[numbers, column] = 1
    return list(texts), matrix
