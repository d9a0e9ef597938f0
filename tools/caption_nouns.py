"""Nouns of place in captions, found by the words around them, and the words that name objects instead."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from photo_data import split_words
from semples.data.catalogues import COCO, VOC
from semples.data.plurals import plural

COUNTS = frozenset(split_words("two three four five six seven eight several many few some both each every any"))
POSSESSIVES = frozenset(split_words("his her its their"))
DETERMINERS = COUNTS | POSSESSIVES | frozenset(split_words("a an the this that these those another no one"))
PLACES = frozenset(
    split_words("""
    in on at near through along by behind over under across beside into against inside onto around above below beneath
    among between down up outside alongside past towards toward off from
    """)
)
"""Prepositions that place something."""
PREPOSITIONS = PLACES | frozenset(split_words("with of for to about without during after before like"))
BOUNDARIES = PREPOSITIONS | DETERMINERS | frozenset(
    split_words("""
    and or but while as which who is are was were be being been has have had do does where when it he she they him them
    there out away together
    """)
)  # fmt: skip
"""Words that a noun phrase does not go beyond."""
WORN = frozenset(split_words("wearing wears wear dressed worn"))
MODIFIERS = 3
"""Most words that a noun phrase may have between its determiner and its noun."""

BEHIND, HEAD, PLACED, POSSESSED, CLOTHING = 0.2, 0.25, 0.3, 0.3, 0.05
"""Least share of behind, head and placed, and the shares of possessed and worn that disqualify (see WordUse)."""

KINDS: dict[str, tuple[str, ...]] = {
    name: tuple(words.split())
    for name, words in {
        "person": """
            human baby toddler kid lady guy teenager teen player skier snowboarder surfer skater skateboarder biker
            cyclist bicyclist rider cowboy climber hiker swimmer diver runner dancer musician wrestler photographer
            pedestrian passenger spectator worker vendor friend family crowd audience teammate policeman chef referee
            umpire catcher pitcher batter trainer father mother dad mom brother sister son daughter student tourist
            customer gentleman fisherman bride groom""",
        "aeroplane": "helicopter jet jetliner airliner",
        "bicycle": "tricycle",
        "bird": "duck seagull pigeon swan goose parrot",
        "boat": "sailboat rowboat canoe kayak raft ferry watercraft yacht",
        "car": "van suv taxi jeep minivan cab",
        "cat": "kitty",
        "chair": "stool wheelchair",
        "dog": "pup hound terrier retriever poodle collie pitbull bulldog labrador dalmatian greyhound",
        "horse": "stallion mare",
        "motorbike": "moped",
        "oven": "stove",
        "pottedplant": "plant",
        "sheep": "ewe",
        "snowboard": "sled",
        "sofa": "loveseat",
        "train": "subway",
        "tvmonitor": "screen monitor",
    }.items()
}
"""Class -> further words for kinds of it."""

AMBIGUOUS = frozenset(
    split_words(
        "band bun cheek class dish guard horseback plate seat seats side sides silhouette teams vehicle vehicles"
    )
)
"""Words for objects or their parts that do not say which class is there."""

SURROUNDING_CLASSES = frozenset({"bed", "bench", "sink", "toilet"})
"""Classes of COCO, not of VOC, that things rest on or in: their names may be contexts."""

NO_PLACES = frozenset(
    split_words("""
    action air attempt background bend blow camera center check circle covers curve direction distance dive dusk ends
    evening event fair fall fenced flight float foreground formation herself himself itself lead match midair morning
    motion night nighttime overlooks place progress scenery show size slip someone something step sunset time ways wii
    wild world
    """)
)
"""Words that pass the rule but name neither a thing nor a place around objects."""


@dataclass
class WordUse:
    """How captions use a word.

    Attributes:
        captions: Captions with the word.
        total: Occurrences.
        behind: Occurrences directly behind a determiner or a preposition.
        heads: Of these, occurrences that end their noun phrase.
        phrases: Occurrences that end a noun phrase with at most MODIFIERS words before them.
        placed: Of these, occurrences whose phrase follows a preposition of place.
        determined: Occurrences directly behind a determiner.
        possessed: Of these, occurrences behind "his", "her", "its" or "their".
        worn: Occurrences in a noun phrase behind "wearing" or "dressed in".
    """

    captions: int = 0
    total: int = 0
    behind: int = 0
    heads: int = 0
    phrases: int = 0
    placed: int = 0
    determined: int = 0
    possessed: int = 0
    worn: int = 0

    def names_a_place(self) -> bool:
        """Whether the word is a noun, and one that things are in, on or at, not one that is worn or owned."""
        return (
            self.behind >= BEHIND * self.total > 0
            and self.heads >= HEAD * self.behind
            and self.placed >= PLACED * self.phrases > 0
            and self.possessed < POSSESSED * max(self.determined, 1)
            and self.worn < CLOTHING * self.total
        )


def count_uses(captions: Iterable[str]) -> dict[str, WordUse]:
    """Count how captions use each of their words; punctuation ends every phrase."""
    uses: dict[str, WordUse] = {}
    for caption in captions:
        clauses = [split_words(clause) for clause in re.split(r"[^\w\s'-]", caption)]
        for word in {word for clause in clauses for word in clause}:
            uses.setdefault(word, WordUse()).captions += 1
        for words in clauses:
            for i, word in enumerate(words):
                _add_occurrence(uses[word], words, i)
    return uses


def _add_occurrence(use: WordUse, words: Sequence[str], i: int) -> None:
    """Count the use of word i of a clause."""
    start = i
    while start and words[start - 1] not in BOUNDARIES | WORN:
        start -= 1
    opened = start
    while opened and words[opened - 1] in DETERMINERS:
        opened -= 1
    opener = words[opened - 1] if opened else ""
    before = words[i - 1] if i else ""
    is_behind = before in DETERMINERS or before in PREPOSITIONS
    # "A group of dogs": what stands before "of" measures something, and is not where it is.
    ends = i + 1 == len(words) or (words[i + 1] in BOUNDARIES and words[i + 1] != "of")
    is_phrase = ends and i - start <= MODIFIERS and (opened < start or opener in PREPOSITIONS)
    use.total += 1
    use.behind += is_behind
    use.heads += is_behind and ends
    use.phrases += is_phrase
    use.placed += is_phrase and opener in PLACES
    use.determined += before in DETERMINERS
    use.possessed += before in POSSESSIVES
    use.worn += opener in WORN or (opener == "in" and opened > 1 and words[opened - 2] in WORN)


def place_nouns(captions: Iterable[str], least: int) -> list[str]:
    """List the nouns of place that name no object, the commonest first.

    Args:
        captions: Sentences.
        least: Captions that a noun must be in.

    Returns:
        Lower-case words; singular and plural are two words.
    """
    uses = count_uses(captions)
    excluded = BOUNDARIES | NO_PLACES | object_words()
    found = [
        word
        for word, use in uses.items()
        if use.captions >= least and use.names_a_place() and word not in excluded and not word.isdigit()
    ]
    return sorted(found, key=lambda word: (-uses[word].captions, word))


def object_words() -> frozenset[str]:
    """Return the words for objects, with plurals: VOC's classes, COCO's but SURROUNDING_CLASSES, AMBIGUOUS."""
    names = [*VOC.names, *(name for name in COCO.names if name not in SURROUNDING_CLASSES)]
    phrases = frozenset(phrase for name in names for phrase in class_phrases(name))
    return phrases | AMBIGUOUS


def class_phrases(name: str) -> frozenset[str]:
    """Return the phrases that name a VOC or COCO class: name, prompt name, synonyms, kinds, and their plurals.

    Raises:
        ValueError: Neither data set has the class.
    """
    catalogue = next((catalogue for catalogue in (VOC, COCO) if name in catalogue.names), None)
    if catalogue is None:
        raise ValueError(f'class "{name}": not a class of VOC or COCO; expected any of {", ".join(VOC.names)}')
    index = catalogue.names.index(name)
    phrases = {name, catalogue.prompt_names[index], *KINDS.get(name, ())}
    for further in (catalogue.synonyms, catalogue.suggestions):
        phrases.update(further[index] if further else ())
    return frozenset(phrases | {plural(phrase) for phrase in phrases})
