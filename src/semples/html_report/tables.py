"""What the tables and bars show: headline numbers, classes, learned words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from semples.config import Config
from semples.html_report.charts import Chart, word_chart
from semples.html_report.collect import CollectedRun
from semples.html_report.pictures import class_color
from semples.rundir.evaluation import Score
from semples.rundir.manifest import StageEntry
from semples.rundir.words import LearnedWords

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
    """IoU of one class under every score; ``color`` is None for background."""

    name: str
    color: str | None
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
    color: str | None
    bars: tuple[WordBar, ...]
    history: tuple[Spell, ...]
    chart: Chart | None


@dataclass(frozen=True)
class Cost:
    """What the whole run took."""

    seconds: float | None
    peak_memory_mb: float | None


@dataclass(frozen=True)
class Setting:
    """A setting that is not at its default."""

    name: str
    value: Any
    default: Any


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
    return [ClassRow(name, color_of(name, classes), tuple(score.iou.get(name) for score in found)) for name in names]


def class_words(run: CollectedRun) -> list[ClassWords]:
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


def color_of(name: str, classes: tuple[str, ...]) -> str | None:
    """Return the CSS color of a class, or None for background and unknown names."""
    return class_color(classes.index(name)) if name in classes else None


def cost(entries: Sequence[StageEntry | None]) -> Cost:
    """Add up the seconds of all stages and take the peak of their memory, None where none is known."""
    seconds = [entry.seconds for entry in entries if entry is not None and entry.seconds is not None]
    memory = [entry.peak_memory_mb for entry in entries if entry is not None and entry.peak_memory_mb is not None]
    return Cost(math.fsum(seconds) if seconds else None, max(memory, default=None))


def environment(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return what the run was made with: device, seed, commit and versions, as far as they are known."""
    known = settings.get("environment")
    known = known if isinstance(known, dict) else {}
    versions = known.get("versions")
    versions = versions if isinstance(versions, dict) else {}
    facts = {"device": known.get("device"), "seed": settings.get("seed"), "commit": known.get("commit")}
    facts |= {name: versions.get(name) for name in ("semples", "torch", "transformers")}
    return {name: str(value) for name, value in facts.items() if value is not None}


def changed_settings(settings: Mapping[str, Any]) -> list[Setting]:
    """List the settings of a run that are not at their defaults, in the order of the file."""
    defaults = dict(_flat(asdict(Config())))
    given = ((name, value) for name, value in _flat(settings) if name in defaults)
    return [Setting(name, value, defaults[name]) for name, value in given if value != defaults[name]]


def _flat(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield settings by dotted name; a mapping inside a section, such as the pairs of scenes, is one value."""
    for section, value in settings.items():
        if isinstance(value, dict):
            yield from ((f"{section}.{name}", inner) for name, inner in value.items())
        else:
            yield section, value


def _class_words(words: LearnedWords, name: str, classes: tuple[str, ...]) -> ClassWords:
    history = _history(nearest_word(words, name))
    return ClassWords(name, color_of(name, classes), _bars(words, name), history, word_chart(words, name))


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
