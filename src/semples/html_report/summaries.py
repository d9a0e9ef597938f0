"""Summarizes a run for the report: headline numbers, IoU per class, learned words, cost and settings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from semples.config.loading import default_settings
from semples.html_report.charts import Chart, word_chart
from semples.html_report.collect import CollectedRun
from semples.html_report.pictures import class_color
from semples.rundir.evaluation import Score
from semples.rundir.manifest import StageEntry
from semples.rundir.words import LearnedWords

LONGEST_HISTORY = 8
"""Longest history of nearest words shown in full; longer ones keep both ends."""


@dataclass(frozen=True)
class Headline:
    """A headline score, and its gain over the plain CAM."""

    label: str
    miou: float
    gain: float | None


@dataclass(frozen=True)
class ClassRow:
    """IoU of one class in every result; ``color`` is None for background."""

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
class WordPeriod:
    """Consecutive epochs with the same nearest word; the word is None for the gap in a shortened history."""

    word: str | None
    first: int
    last: int


@dataclass(frozen=True)
class ClassWords:
    """Learned words of one class's prompt."""

    name: str
    color: str | None
    bars: tuple[WordBar, ...]
    history: tuple[WordPeriod, ...]
    chart: Chart | None


@dataclass(frozen=True)
class Cost:
    """Time and memory of the whole run."""

    seconds: float | None
    peak_memory_mb: float | None


@dataclass(frozen=True)
class Setting:
    """A setting that differs from its default."""

    name: str
    value: Any
    default: Any


def headlines(scores: Sequence[Score]) -> list[Headline]:
    """List the headline scores: first and last CAM, pseudo masks, segmentation (held out if possible)."""
    cams = [score for score in scores if score.group == "cams"]
    segmentations = [score for score in scores if score.group == "segmentation"]
    masks = [score for score in scores if score.group == "pseudo_masks"]
    chosen = [*cams[:1], *cams[1:][-1:], *masks, *segmentations[-1:]]
    base = cams[0].miou if cams else None
    return [
        Headline(score.label, score.miou, None if base is None or score is cams[0] else score.miou - base)
        for score in chosen
        if score.miou is not None
    ]


def class_rows(scores: Sequence[Score], classes: tuple[str, ...]) -> list[ClassRow]:
    """List the IoU per class, background first."""
    known = dict.fromkeys(name for score in scores for name in score.iou)
    names = [name for name in ("background", *classes) if name in known]
    return [ClassRow(name, color_of(name, classes), tuple(score.iou.get(name) for score in scores)) for name in names]


def class_words(run: CollectedRun) -> list[ClassWords]:
    """List the nearest words per class, in the order of the classes."""
    if run.words is None:
        return []
    ranks = {name: rank for rank, name in enumerate(run.classes)}
    names = sorted(run.words.words, key=lambda name: ranks.get(name, len(ranks)))
    return [_class_words(run.words, name, run.classes) for name in names]


def nearest_word(words: LearnedWords, name: str) -> list[tuple[int, str]]:
    """List (epoch, nearest word) of a class, for every epoch that has one."""
    pairs = zip(words.epochs, words.words[name], strict=False)
    return [(epoch, nearest[0][0]) for epoch, nearest in pairs if nearest]


def color_of(name: str, classes: tuple[str, ...]) -> str | None:
    """Return the CSS color of a class, or None for background and unknown names."""
    return class_color(classes.index(name)) if name in classes else None


def cost(entries: Sequence[StageEntry | None]) -> Cost:
    """Return the total seconds and the peak memory of all stages, None where unknown."""
    seconds = [entry.seconds for entry in entries if entry is not None and entry.seconds is not None]
    memory = [entry.peak_memory_mb for entry in entries if entry is not None and entry.peak_memory_mb is not None]
    return Cost(math.fsum(seconds) if seconds else None, max(memory, default=None))


def environment(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the known facts about the run's environment: device, seed, commit and versions."""
    known = settings.get("environment")
    known = known if isinstance(known, dict) else {}
    versions = known.get("versions")
    versions = versions if isinstance(versions, dict) else {}
    facts = {"device": known.get("device"), "seed": settings.get("seed"), "commit": known.get("commit")}
    facts |= {name: versions.get(name) for name in ("semples", "torch", "transformers")}
    return {name: str(value) for name, value in facts.items() if value is not None}


def changed_settings(settings: Mapping[str, Any]) -> list[Setting]:
    """List the settings that differ from their defaults, in the order of the config file."""
    defaults = dict(_flat(default_settings(settings)))
    given = ((name, value) for name, value in _flat(settings) if name in defaults)
    return [Setting(name, value, defaults[name]) for name, value in given if value != defaults[name]]


def _flat(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield settings by dotted name; a mapping inside a section, such as data.pairs, counts as one value."""
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


def _history(nearest: list[tuple[int, str]]) -> tuple[WordPeriod, ...]:
    periods: list[WordPeriod] = []
    for epoch, word in nearest:
        if periods and periods[-1].word == word:
            periods[-1] = WordPeriod(word, periods[-1].first, epoch)
        else:
            periods.append(WordPeriod(word, epoch, epoch))
    return tuple(_shortened(periods))


def _shortened(periods: list[WordPeriod]) -> Iterator[WordPeriod]:
    if len(periods) <= LONGEST_HISTORY:
        yield from periods
        return
    # One period fewer at the start makes room for the gap.
    head, tail = periods[: LONGEST_HISTORY // 2 - 1], periods[-LONGEST_HISTORY // 2 :]
    yield from head
    yield WordPeriod(None, head[-1].last + 1, tail[0].first - 1)
    yield from tail
