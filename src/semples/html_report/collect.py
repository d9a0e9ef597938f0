"""Reads a run directory; absent or damaged files are left out and named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from semples.config import ReportConfig
from semples.data.subsets import evenly_spaced
from semples.errors import DataError
from semples.records import Dataset
from semples.rundir.dataset import parse_dataset
from semples.rundir.evaluation import Evaluation, Score, parse_evaluation
from semples.rundir.layout import MAIN_STAGES, RunDirectory, stage_folder
from semples.rundir.manifest import StageEntry, parse_manifest
from semples.rundir.metrics import DAMAGED_LINE, EpochMetrics, parse_metrics_line
from semples.rundir.shown_images import parse_shown_images
from semples.rundir.skipped import SkippedImages, parse_skipped
from semples.rundir.threshold import ThresholdChoice, parse_threshold
from semples.rundir.words import LearnedWords, parse_words

_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, yaml.YAMLError)

DEFAULT_THRESHOLD = 0.4
"""Initial threshold of the slider for a run that names none."""

Parsed = TypeVar("Parsed")


@dataclass(frozen=True)
class CollectedRun:
    """Everything the report needs except pictures.

    Attributes:
        directory: The run directory.
        classes: Names of the object classes, without background.
        dataset: Splits and classes, or None if the run stopped before it knew them.
        stages: Folder of each stage and its entry in the manifest, in order; None if it has not run.
        epochs: Training log in the order of first appearance; a repeated epoch keeps its last line.
        words: Learned words, or None.
        scores: Results of the evaluation, in the order of the stages.
        shown_ids: Ids of the images to show, by split.
        skipped: Images that the run skipped.
        config_text: Text of ``config.yaml``, or empty.
        settings: Content of ``config.yaml``.
        problems: One sentence per file that could not be read.
        choice: The threshold at which the pseudo masks were cut, or None.
    """

    directory: Path
    classes: tuple[str, ...]
    dataset: Dataset | None
    stages: tuple[tuple[str, StageEntry | None], ...]
    epochs: tuple[EpochMetrics, ...]
    words: LearnedWords | None
    scores: tuple[Score, ...]
    shown_ids: Mapping[str, tuple[str, ...]]
    skipped: SkippedImages
    config_text: str
    settings: Mapping[str, Any]
    problems: tuple[str, ...]
    choice: ThresholdChoice | None

    @property
    def threshold(self) -> float:
        """The CAM threshold of the run: chosen for the pseudo masks, else evaluated, else set in the config."""
        if self.choice is not None:
            return self.choice.threshold
        evaluated = (score.threshold for score in self.scores if score.threshold is not None)
        return next(evaluated, _setting(self.settings, "pseudo_masks", "threshold", DEFAULT_THRESHOLD))


def collect(directory: Path) -> CollectedRun:
    """Read a run directory.

    Raises:
        DataError: The folder does not exist or contains none of a run's files.
    """
    files = RunDirectory(directory)
    _check_is_run(files)
    problems: list[str] = []

    def read(path: Path, parse: Callable[[str], Parsed], default: Parsed) -> Parsed:
        return _read(path, path.relative_to(directory).as_posix(), parse, default, problems)

    dataset = read(files.dataset, parse_dataset, None)
    no_settings: Mapping[str, Any] = {}
    settings = read(files.config, parse_settings, no_settings)
    count = int(_setting(settings, "report", "images", ReportConfig().images))
    evaluation = read(files.evaluation, parse_evaluation, Evaluation())
    return CollectedRun(
        directory=directory,
        classes=evaluation.classes if dataset is None else dataset.catalogue.names,
        dataset=dataset,
        stages=_stage_entries(read(files.manifest, parse_manifest, {})),
        epochs=read(files.metrics, lambda text: parse_epochs(text, files.metrics.name, problems), ()),
        words=read(files.words, parse_words, None),
        choice=read(files.threshold, parse_threshold, None),
        scores=evaluation.scores,
        shown_ids=read(files.shown_images, parse_shown_images, _spread_over(dataset, count)),
        skipped=read(files.skipped, parse_skipped, SkippedImages()),
        config_text=_read(files.config, "", str, "", []),
        settings=settings,
        problems=tuple(problems),
    )


def parse_settings(text: str) -> Mapping[str, Any]:
    """Parse ``config.yaml``: settings in sections, and the versions and device under "environment"."""
    value = yaml.safe_load(text)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"expected settings in sections, got {type(value).__name__}")
    return value


def parse_epochs(text: str, name: str, problems: list[str]) -> tuple[EpochMetrics, ...]:
    """Parse the training log; damaged lines (a killed run may leave one) are added to ``problems``."""
    epochs: dict[tuple[str, int], EpochMetrics] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            epoch = parse_metrics_line(line)
        except DAMAGED_LINE:
            problems.append(f"{name}:{number}: damaged; this line is left out.")
        else:
            epochs[epoch.stage, epoch.epoch] = epoch
    return tuple(epochs.values())


def _stage_entries(entries: Mapping[str, StageEntry]) -> tuple[tuple[str, StageEntry | None], ...]:
    """Return the main stages, whether or not they have run, and the other stages that have, in order."""
    folders = {*map(stage_folder, MAIN_STAGES), *entries}
    return tuple((folder, entries.get(folder)) for folder in sorted(folders))


def _check_is_run(files: RunDirectory) -> None:
    if not files.path.is_dir():
        raise DataError(f"{files.path}: not a folder; give the run directory that `semples run --out` wrote")
    traces = (files.manifest, files.dataset, files.config, files.metrics, files.evaluation)
    if not any(trace.is_file() for trace in traces):
        names = ", ".join(trace.name for trace in traces)
        raise DataError(f"{files.path}: not a run directory (no {names}); give the folder of `semples run --out`")


def _read(path: Path, name: str, parse: Callable[[str], Parsed], default: Parsed, problems: list[str]) -> Parsed:
    if not path.is_file():
        return default
    try:
        return parse(path.read_text(encoding="utf-8"))
    except _UNREADABLE as error:
        detail = f"missing {error}" if isinstance(error, KeyError) else str(error)
        problems.append(f"{name}: cannot be read ({detail}); its part of this report is left out.")
        return default


def _spread_over(dataset: Dataset | None, count: int) -> Mapping[str, tuple[str, ...]]:
    if dataset is None:
        return {}
    splits = {"train": dataset.train, "val": dataset.val}
    return {split: tuple(sample.id for sample in evenly_spaced(samples, count)) for split, samples in splits.items()}


def _setting(settings: Mapping[str, Any], section: str, name: str, default: float) -> float:
    """Return a number from the settings, or the default if it is not set or not a number."""
    values = settings.get(section)
    value = values.get(name) if isinstance(values, dict) else None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else default
