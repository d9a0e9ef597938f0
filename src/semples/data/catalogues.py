"""Class names of common data sets, their words for a vision-language model (VLM), and mask colors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from semples.data.phrases import SYNONYMS
from semples.errors import ConfigError, did_you_mean
from semples.records import ClassCatalogue

_VOC_NAMES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person"),
    *("pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)

_VOC_PROMPT_NAMES = {
    "person": "player",
    "tvmonitor": "tv monitor",
    "diningtable": "dining table",
    "pottedplant": "potted plant",
}

_COCO_NAMES = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat"),
    *("traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog"),
    *("horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella"),
    *("handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite"),
    *("baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle"),
    *("wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange"),
    *("broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant"),
    *("bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone"),
    *("microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors"),
    *("teddy bear", "hair drier", "toothbrush"),
)


_COCO_PROMPT_NAMES = {
    "mouse": "computer mouse",
    "remote": "remote control",
    "tie": "necktie",
    "orange": "orange fruit",
    "hair drier": "hair dryer",
}
"""Words for names that alone could be read as an animal, a color, a verb, or a rare spelling."""

_COCO_IDS_WITHOUT_CLASS = frozenset({12, 26, 29, 30, 45, 66, 68, 69, 71, 83})


Phrases = Mapping[str, str | Sequence[str]]
"""Class name -> a phrase, or several."""


def catalogue_from_names(
    names: Sequence[str],
    prompt_names: Phrases | None = None,
    category_ids: Sequence[int] = (),
    suggestions: Mapping[str, Sequence[str]] | None = None,
) -> ClassCatalogue:
    """Build a catalogue from class names and, for some of them, the phrases for the VLM.

    Args:
        names: Class names in order: class k has value k + 1 in masks.
        prompt_names: Class name -> one phrase or several for it in prompts; other classes use their names.
        category_ids: The data set's own number of each class; empty if it has none.
        suggestions: Class name -> further phrases, which are used if the VLM knows them. A phrase that belongs to
            another class is dropped, and so are entries of names that are not classes.

    Raises:
        ConfigError: Names are missing, blank, repeated or more than 254, or an alias belongs to no class.
    """
    for name in names:
        if name != name.strip() or not name or "|" in name:
            raise ConfigError(f'class name {name!r}: blanks around it or "|" in it; remove them')
        if name == "background":
            raise ConfigError('class "background": background always exists, as value 0; leave it out')
    aliases = {}
    for key, words in (prompt_names or {}).items():
        if key not in names:
            raise ConfigError(f'prompt name for "{key}": there is no such class{did_you_mean(key, names)}')
        aliases[key] = as_phrases(words)
        if not aliases[key] or not all(phrase.strip() for phrase in aliases[key]):
            raise ConfigError(f'prompt name for "{key}": blank; give words, or leave the entry out')
    phrases = [aliases.get(name, (name,)) for name in names]
    synonyms = tuple(others for _, *others in phrases)
    further = _suggestions(names, phrases, suggestions or {})
    try:
        return ClassCatalogue(
            tuple(names),
            tuple(first for first, *_ in phrases),
            tuple(category_ids),
            tuple(map(tuple, synonyms)) if any(synonyms) else (),
            further if any(further) else (),
        )
    except ValueError as error:
        raise ConfigError(f"classes: {error}") from error


def as_phrases(words: str | Sequence[str]) -> tuple[str, ...]:
    """Return one phrase or several as a tuple without repeats."""
    return (words,) if isinstance(words, str) else tuple(dict.fromkeys(words))


def words_of_classes(setting: str, words: Phrases, names: Sequence[str]) -> list[str]:
    """Return the words that a setting gives for classes, without repeats, in the order of the classes.

    Raises:
        ConfigError: A key is not a class, or a word is blank.
    """
    for key, entry in words.items():
        if key not in names:
            raise ConfigError(
                f'{setting}: "{key}" is not a class of the data set; expected any of '
                f"{', '.join(names)}{did_you_mean(key, names)}"
            )
        if not all(word.strip() for word in as_phrases(entry)):
            raise ConfigError(f"{setting}.{key}: {list(as_phrases(entry))} has a blank word; give words, or none")
    return list(dict.fromkeys(word for name in names for word in as_phrases(words.get(name, ()))))


def _suggestions(
    names: Sequence[str], phrases: Sequence[Sequence[str]], suggestions: Mapping[str, Sequence[str]]
) -> tuple[tuple[str, ...], ...]:
    """Return the suggestions for each class that are not a phrase of it, nor a name or phrase of another class."""
    texts = [
        {name.casefold(), *(phrase.casefold() for phrase in own)} for name, own in zip(names, phrases, strict=True)
    ]
    uses = Counter(text for own in texts for text in own)
    new = []
    for name, own in zip(names, phrases, strict=True):
        # The class's own name is a further phrase where its prompt name is another, such as "person" beside "player".
        free = {name.casefold()} - {phrase.casefold() for phrase in own}
        unique = dict.fromkeys(suggestions.get(name, ()))
        new.append(tuple(each for each in unique if uses[each.casefold()] == (each.casefold() in free)))
    return tuple(new)


def voc_palette() -> list[int]:
    """Return the color map of PASCAL VOC as 768 values: R, G and B of index 0, then of index 1, and so on.

    The bits of an index are dealt in turn to red, green and blue, its lowest bits to the highest bits of the
    color (VOC development kit, ``VOCcolormap``). Index 0 is black and index 255, ignore, is (224, 224, 192).
    """
    return [_spread_bits(index >> channel) for index in range(256) for channel in range(3)]


def _spread_bits(bits: int) -> int:
    """Move bits 0, 3 and 6 of an index to bits 7, 6 and 5 of a color."""
    return (bits & 1) << 7 | (bits >> 3 & 1) << 6 | (bits >> 6 & 1) << 5


PALETTE = np.array(voc_palette(), dtype=np.uint8).reshape(256, 3)
"""Color [256, 3] of each mask value."""

VOC = catalogue_from_names(_VOC_NAMES, _VOC_PROMPT_NAMES, suggestions=SYNONYMS)
"""The 20 classes of PASCAL VOC 2012, in its order; prompt names as in the paper (docs/method.md), synonyms ours."""

COCO = catalogue_from_names(
    _COCO_NAMES,
    _COCO_PROMPT_NAMES,
    [number for number in range(1, 91) if number not in _COCO_IDS_WITHOUT_CLASS],
    SYNONYMS,
)
"""The 80 classes of MS COCO, in the order of their category ids; all phrases are ours. Masks use VOC's colors."""
