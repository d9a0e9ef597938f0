"""Plain wording of class names, and the English plurals of their words."""

from __future__ import annotations

import re

_IRREGULAR = {
    "person": "people", "child": "children", "man": "men", "woman": "women", "mouse": "mice", "goose": "geese",
    "foot": "feet", "tooth": "teeth", "ox": "oxen", "lens": "lenses", "gas": "gases", "canvas": "canvases",
    "potato": "potatoes", "tomato": "tomatoes", "mango": "mangoes", "mosquito": "mosquitoes", "buffalo": "buffaloes",
    "hero": "heroes", "human": "humans", "german": "germans", "roman": "romans", "talisman": "talismans",
    "fungus": "fungi", "cactus": "cacti",
}  # fmt: skip
_IRREGULAR_ENDINGS = {"person": "people", "child": "children", "man": "men", "tooth": "teeth"}
"""Ending of a compound -> its plural: salesperson, grandchild, fireman."""
_VES = frozenset({"knife", "leaf", "wolf", "shelf", "calf", "loaf", "half", "scarf", "thief", "wife", "elf", "life"})
_UNCHANGED = frozenset({
    "deer", "moose", "bison", "elk", "salmon", "trout", "shrimp", "squid", "swine", "people", "cattle", "poultry",
    "aircraft", "series", "species", "skis", "taxis", "kiwis", "tennis", "men", "women", "children", "mice", "geese",
    "feet", "teeth", "broccoli", "furniture", "luggage", "grass", "water", "sand", "snow", "bread", "rice",
})  # fmt: skip
_UNCHANGED_ENDINGS = ("fish", "sheep", "craft", "deer")


def plain_words(name: str) -> str:
    """Return a class name as plain words: apart at capitals, underscores, hyphens and points.

    >>> plain_words("fire_truck"), plain_words("trafficLight"), plain_words("Boat")
    ('fire truck', 'traffic light', 'Boat')
    """
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|[_\-.]+", " ", name)
    return " ".join(apart.split()).lower() if apart != name else name


def plural(phrase: str) -> str:
    """Return a phrase with its last word in the plural, by a short rule for English.

    A word is unchanged if it is a plural already, if its plural is the same, or if it has other characters than ASCII
    letters.

    >>> plural("dog"), plural("fire truck"), plural("sheep"), plural("scissors")
    ('dogs', 'fire trucks', 'sheep', 'scissors')
    """
    before, space, word = phrase.rpartition(" ")
    if not (word.isascii() and word.isalpha()):
        return phrase
    found = _plural_of_word(word.lower())
    # The case of the word's start stays: "Boat" becomes "Boats", "TV" becomes "TVs".
    shared = next((i for i, pair in enumerate(zip(word.lower(), found, strict=False)) if pair[0] != pair[1]), len(word))
    start = found[0].upper() if shared == 0 and word[0].isupper() else word[:shared]
    return f"{before}{space}{start}{found[len(start) :]}"


def _plural_of_word(word: str) -> str:
    """Return the plural of a word in lower case."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word in _UNCHANGED or word.endswith(_UNCHANGED_ENDINGS):
        return word
    for ending, many in _IRREGULAR_ENDINGS.items():
        if word.endswith(ending):
            return word.removesuffix(ending) + many
    if word in _VES:
        return word.removesuffix("fe").removesuffix("f") + "ves"
    if word.endswith(("ss", "us", "is", "x", "z", "ch", "sh")):
        return word + "es"
    if word.endswith("s"):  # nearly always a plural already
        return word
    if word.endswith("y") and word[-2:-1] not in ("", *"aeiou"):
        return word.removesuffix("y") + "ies"
    return word + "s"
