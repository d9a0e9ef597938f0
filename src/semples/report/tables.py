"""What the tables and bars show: headline numbers, classes, learned words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from semples.report.collect import LearnedWords, Run
from semples.report.pictures import class_colour
from semples.report.scores import Score

LONGEST_HISTORY = 8
"""Changes of a nearest word that are shown; longer histories keep both ends."""


@dataclass(frozen=True)
class Tile:
    """A headline number, and how far it lies above the plain CAM."""

    label: str
    miou: float
    gain: float | None


@dataclass(frozen=True)
class ClassRow:
    """IoU of one class under every score; ``colour`` is None for background."""

    name: str
    colour: str | None
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class WordBar:
    """A word, its score, and the length of its bar in 0..1."""

    word: str
    score: float
    length: float


@dataclass(frozen=True)
class Spell:
    """Epochs in a row with the same nearest word; a gap in a shortened history has the word None."""

    word: str | None
    first: int
    last: int


@dataclass(frozen=True)
class ClassWords:
    """What one class's prompt learned."""

    name: str
    colour: str | None
    bars: tuple[WordBar, ...]
    history: tuple[Spell, ...]


def tiles(found: Sequence[Score]) -> list[Tile]:
    """List the headline numbers: first and last CAM, pseudo masks, segmentation (held out if it can be)."""
    cams = [score for score in found if score.group == "cams"]
    segmentations = [score for score in found if score.group == "segmentation"]
    masks = [score for score in found if score.group == "pseudo_masks"]
    chosen = [*cams[:1], *cams[1:][-1:], *masks, *segmentations[-1:]]
    base = cams[0].miou if cams else None
    return [
        Tile(score.label, score.miou, None if base is None or score is cams[0] else score.miou - base)
        for score in chosen
        if score.miou is not None
    ]


def class_rows(found: Sequence[Score], classes: tuple[str, ...]) -> list[ClassRow]:
    """List the IoU per class, background first."""
    known = dict.fromkeys(name for score in found for name in score.iou)
    names = [name for name in ("background", *classes) if name in known]
    return [ClassRow(name, colour_of(name, classes), tuple(score.iou.get(name) for score in found)) for name in names]


def class_words(run: Run) -> list[ClassWords]:
    """List the nearest words per class, in the order of the classes."""
    if run.words is None:
        return []
    ranks = {name: rank for rank, name in enumerate(run.classes)}
    names = sorted(run.words.words, key=lambda name: ranks.get(name, len(ranks)))
    return [_class_words(run.words, name, run.classes) for name in names]


def nearest_word(words: LearnedWords, name: str) -> list[tuple[int, str]]:
    """List (epoch, nearest word) of a class for each epoch that has one."""
    pairs = zip(words.epochs, words.words[name], strict=False)
    return [(epoch, nearest[0][0]) for epoch, nearest in pairs if nearest]


def colour_of(name: str, classes: tuple[str, ...]) -> str | None:
    """Return the CSS colour of a class, or None for background and unknown names."""
    return class_colour(classes.index(name)) if name in classes else None


def _class_words(words: LearnedWords, name: str, classes: tuple[str, ...]) -> ClassWords:
    return ClassWords(name, colour_of(name, classes), _bars(words, name), _history(nearest_word(words, name)))


def _bars(words: LearnedWords, name: str) -> tuple[WordBar, ...]:
    epochs = words.words[name]
    nearest = epochs[-1] if epochs else ()
    # Scores are cosines: bars share the scale 0..1 unless a score goes beyond it.
    longest = max([1.0, *(score for _, score in nearest)])
    return tuple(WordBar(word, score, max(0.0, score) / longest) for word, score in nearest)


def _history(nearest: list[tuple[int, str]]) -> tuple[Spell, ...]:
    spells: list[Spell] = []
    for epoch, word in nearest:
        if spells and spells[-1].word == word:
            spells[-1] = Spell(word, spells[-1].first, epoch)
        else:
            spells.append(Spell(word, epoch, epoch))
    return tuple(_shortened(spells))


def _shortened(spells: list[Spell]) -> Iterator[Spell]:
    if len(spells) <= LONGEST_HISTORY:
        yield from spells
        return
    head, tail = spells[: LONGEST_HISTORY // 2 - 1], spells[-LONGEST_HISTORY // 2 :]
    yield from head
    yield Spell(None, head[-1].last + 1, tail[0].first - 1)
    yield from tail
