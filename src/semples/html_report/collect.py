"""Reads what a run directory holds; whatever is absent or damaged is left out and named."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from semples.config import ReportConfig
from semples.data.subsets import evenly
from semples.errors import DataError
from semples.html_report.scores import Evaluation, Score, read_evaluation
from semples.html_report.skipped import Skipped, parse_skipped
from semples.records import Dataset
from semples.rundir.dataset import parse_dataset

STAGES = ("0-classify", "1-match", "2-prompts", "3-refine", "4-pseudo-masks", "5-segment", "6-evaluate")
"""Stage folders of a run, in order."""

_TRACES = ("manifest.json", "dataset.json", "config.yaml", "metrics.jsonl", "evaluation.json")
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, yaml.YAMLError)

DEFAULT_THRESHOLD = 0.4
"""Where the maps of a run are cut at first that says nothing of it."""

Parsed = TypeVar("Parsed")


@dataclass(frozen=True)
class Stage:
    """A stage as the manifest tells it; ``status`` is "done", "skipped", "running" or "not run"."""

    name: str
    status: str = "not run"
    reason: str = ""
    seconds: float = math.nan
    peak_memory_mb: float = math.nan
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Epoch:
    """One line of ``metrics.jsonl``; numbers that were not logged are NaN."""

    stage: str
    epoch: int
    loss: float
    parts: Mapping[str, float]
    learning_rate: float
    images_per_second: float


@dataclass(frozen=True)
class LearnedWords:
    """Words nearest to the prompts: ``words[class][i]`` holds (word, score) pairs of ``epochs[i]``."""

    epochs: tuple[int, ...]
    words: Mapping[str, tuple[tuple[tuple[str, float], ...], ...]]


@dataclass(frozen=True)
class Choice:
    """How a threshold was chosen; ``costs`` by threshold, none for a constant."""

    criterion: str
    threshold: float
    costs: Mapping[str, float]


@dataclass(frozen=True)
class Run:
    """Everything the report needs except pictures.

    Attributes:
        directory: The run directory.
        classes: Names of the object classes, without background.
        dataset: Splits and classes, or None where the run stopped before it knew them.
        stages: One entry for each of :data:`STAGES`.
        epochs: Training log in the order of first appearance; a repeated epoch keeps its last line.
        words: Learned words, or None.
        scores: Results of the evaluation that are there, in the order of the stages.
        shown: Ids of the images to show, by split.
        skipped: Images that the run left out.
        config_text: ``config.yaml`` as it is, or empty.
        settings: What it says.
        problems: One sentence for each file that could not be read.
        choice: The threshold that the pseudo masks were cut at, or None.
    """

    directory: Path
    classes: tuple[str, ...]
    dataset: Dataset | None
    stages: tuple[Stage, ...]
    epochs: tuple[Epoch, ...]
    words: LearnedWords | None
    scores: tuple[Score, ...]
    shown: Mapping[str, tuple[str, ...]]
    skipped: Skipped
    config_text: str
    settings: Mapping[str, Any]
    problems: tuple[str, ...]
    choice: Choice | None

    @property
    def threshold(self) -> float:
        """CAM value at which the run cut its maps: as chosen for the pseudo masks, else as evaluated, else as set."""
        if self.choice is not None:
            return self.choice.threshold
        evaluated = (score.threshold for score in self.scores if score.threshold is not None)
        return next(evaluated, _setting(self.settings, "pseudo_masks", "threshold", DEFAULT_THRESHOLD))


def collect(directory: Path) -> Run:
    """Read a run directory.

    Raises:
        DataError: The folder does not exist or holds none of the files of a run.
    """
    _check_is_run(directory)
    problems: list[str] = []

    def read(name: str, parse: Callable[[str], Parsed], default: Parsed) -> Parsed:
        return _read(directory / name, name, parse, default, problems)

    dataset = read("dataset.json", parse_dataset, None)
    no_settings: Mapping[str, Any] = {}
    settings = read("config.yaml", parse_settings, no_settings)
    count = int(_setting(settings, "report", "images", ReportConfig().images))
    evaluation = read("evaluation.json", lambda text: read_evaluation(parse_object(text)), Evaluation())
    return Run(
        directory=directory,
        classes=evaluation.classes if dataset is None else dataset.catalogue.names,
        dataset=dataset,
        stages=read("manifest.json", parse_manifest, tuple(Stage(name) for name in STAGES)),
        epochs=read("metrics.jsonl", lambda text: parse_metrics(text, problems), ()),
        words=read("2-prompts/words.json", parse_words, None),
        choice=read("4-pseudo-masks/threshold.json", parse_choice, None),
        scores=evaluation.scores,
        shown=read("6-evaluate/samples.json", parse_shown, _spread_over(dataset, count)),
        skipped=read("skipped.json", parse_skipped, Skipped()),
        config_text=_read(directory / "config.yaml", "config.yaml", str, "", []),
        settings=settings,
        problems=tuple(problems),
    )


def parse_object(text: str) -> dict[str, Any]:
    """Parse a JSON object, and nothing else."""
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, got {type(value).__name__}")
    return value


def parse_settings(text: str) -> Mapping[str, Any]:
    """Parse ``config.yaml``: settings in sections, and under "environment" what the run was made with."""
    value = yaml.safe_load(text)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"expected settings in sections, got {type(value).__name__}")
    return value


def parse_manifest(text: str) -> tuple[Stage, ...]:
    """Parse one entry for each of :data:`STAGES`, "not run" where the manifest has none, and for those beside them."""
    entries = parse_object(text)["stages"]
    return tuple(
        Stage(
            name,
            status=str(entries[name]["status"]),
            reason=str(entries[name].get("reason") or ""),
            seconds=_number(entries[name].get("seconds")),
            peak_memory_mb=_number(entries[name].get("peak_memory_mb")),
            warnings=tuple(map(str, entries[name].get("warnings") or ())),
        )
        if name in entries
        else Stage(name)
        for name in sorted({*STAGES, *entries})
    )


def parse_metrics(text: str, problems: list[str]) -> tuple[Epoch, ...]:
    """Parse the training log; damaged lines (a killed run may leave one) are named in ``problems``."""
    epochs: dict[tuple[str, int], Epoch] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            epoch = _epoch(parse_object(line))
        except _UNREADABLE:
            problems.append(f"metrics.jsonl: line {number} is damaged and left out.")
        else:
            epochs[epoch.stage, epoch.epoch] = epoch
    return tuple(epochs.values())


def parse_words(text: str) -> LearnedWords:
    """Parse the nearest words per class and epoch."""
    value = parse_object(text)
    words = {
        str(name): tuple(tuple((str(word), float(score)) for word, score in nearest) for nearest in epochs)
        for name, epochs in value["words"].items()
    }
    return LearnedWords(tuple(int(epoch) for epoch in value["epochs"]), words)


def parse_choice(text: str) -> Choice:
    """Parse how the threshold of the pseudo masks was chosen."""
    value = parse_object(text)
    costs = {str(threshold): float(cost) for threshold, cost in value["costs"].items()}
    return Choice(str(value["criterion"]), float(value["threshold"]), costs)


def parse_shown(text: str) -> Mapping[str, tuple[str, ...]]:
    """Parse the ids of the images to show, by split."""
    value = parse_object(text)
    return {split: tuple(str(id_) for id_ in value.get(split) or ()) for split in ("train", "val")}


def _check_is_run(directory: Path) -> None:
    if not directory.is_dir():
        raise DataError(f"{directory} is not a folder: give the run directory that `semples run --out` wrote")
    if not any((directory / name).is_file() for name in _TRACES):
        raise DataError(
            f"{directory} is not a run directory (no {', '.join(_TRACES)}): "
            "give the folder that `semples run --out` wrote"
        )


def _read(path: Path, name: str, parse: Callable[[str], Parsed], default: Parsed, problems: list[str]) -> Parsed:
    if not path.is_file():
        return default
    try:
        return parse(path.read_text(encoding="utf-8"))
    except _UNREADABLE as error:
        detail = f"missing {error}" if isinstance(error, KeyError) else str(error)
        problems.append(f"{name} could not be read ({detail}): its part of this report is left out.")
        return default


def _epoch(line: Mapping[str, Any]) -> Epoch:
    return Epoch(
        stage=str(line["stage"]),
        epoch=int(line["epoch"]),
        loss=_number(line.get("loss")),
        parts=_numbers(line.get("parts")),
        learning_rate=_number(line.get("learning_rate")),
        images_per_second=_number(line.get("images_per_second")),
    )


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _numbers(value: Mapping[str, Any] | None) -> dict[str, float]:
    return {str(name): _number(number) for name, number in (value or {}).items()}


def _spread_over(dataset: Dataset | None, count: int) -> Mapping[str, tuple[str, ...]]:
    if dataset is None:
        return {}
    splits = {"train": dataset.train, "val": dataset.val}
    return {split: tuple(sample.id for sample in evenly(samples, count)) for split, samples in splits.items()}


def _setting(settings: Mapping[str, Any], section: str, name: str, default: float) -> float:
    """Take a number out of the settings; what is no number counts as not set."""
    values = settings.get(section)
    value = values.get(name) if isinstance(values, dict) else None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else default
