"""``evaluation.json``: scores of every result against ground truth."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from semples.errors import DataError
from semples.files import write_json
from semples.rundir.labels import (
    CAM_LABELS,
    PSEUDO_MASKS,
    SEGMENTATION,
    SPLIT_LABELS,
    SUPERVISED_BOUND,
    refined_label,
)


@dataclass(frozen=True)
class Score:
    """Scores of one result; rates are in [0, 1], None where they do not apply.

    Attributes:
        label: Name of the result for people.
        group: Key of the result in the file: "cams", "refinements", "pseudo_masks", "segmentation", "supervised_bound".
        images: Number of images that were scored.
        miou: Mean IoU of background and classes.
        threshold: Threshold that was chosen without ground truth.
        criterion: Criterion that chose the threshold.
        oracle_miou: Mean IoU at the best single threshold.
        oracle_threshold: The best single threshold.
        false_positive: False positives as a share of the union, mean over the classes.
        false_negative: False negatives as a share of the union, mean over the classes.
        coverage: Share of pixels that are not predicted as ignored.
        iou: IoU of background and of each class.
    """

    label: str
    group: str
    images: int | None = None
    miou: float | None = None
    threshold: float | None = None
    criterion: str | None = None
    oracle_miou: float | None = None
    oracle_threshold: float | None = None
    false_positive: float | None = None
    false_negative: float | None = None
    coverage: float | None = None
    iou: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """Class names without background, and the scores of every result that exists, in the order of the stages."""

    classes: tuple[str, ...] = ()
    scores: tuple[Score, ...] = ()


def write_evaluation(
    path: Path,
    classes: tuple[str, ...],
    cams: Mapping[str, Any],
    refinements: Mapping[str, Any],
    pseudo_masks: Mapping[str, Any] | None,
    segmentation: Mapping[str, Any] | None,
    supervised_bound: Mapping[str, Any] | None,
) -> None:
    """Write the scores; None means that a result does not exist."""
    content = {
        "classes": list(classes),
        "cams": cams,
        "refinements": refinements,
        "pseudo_masks": pseudo_masks,
        "segmentation": segmentation,
        "supervised_bound": supervised_bound,
    }
    write_json(path, content)


def read_evaluation(path: Path) -> Evaluation:
    """Read the scores of a run.

    Raises:
        DataError: The file is missing or damaged.
    """
    try:
        return parse_evaluation(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path}: damaged ({error}); --force evaluate recreates it") from error


def parse_evaluation(text: str) -> Evaluation:
    """Parse the content of the file; results that are null or absent are left out.

    Raises:
        ValueError: The text is not JSON, or a value is not a number.
        KeyError, TypeError, AttributeError: The text has another structure.
    """
    value = json.loads(text)
    rows: list[tuple[str, str | None, str]] = [("cams", stage, label) for stage, label in CAM_LABELS.items()]
    rows += [("refinements", str(step), refined_label(step)) for step in value.get("refinements") or ()]
    rows += [("pseudo_masks", None, PSEUDO_MASKS)]
    for group, label in (("segmentation", SEGMENTATION), ("supervised_bound", SUPERVISED_BOUND)):
        rows += [(group, split, f"{label}, {name}") for split, name in SPLIT_LABELS.items()]
    scores = []
    for group, key, label in rows:
        entry = value.get(group)
        if key is not None and entry is not None:
            entry = entry.get(key)
        if entry is not None:
            scores.append(parse_score(entry, label, group))
    return Evaluation(tuple(str(name) for name in value["classes"]), tuple(scores))


def parse_score(entry: Mapping[str, Any], label: str = "", group: str = "") -> Score:
    """Parse the scores of one result.

    Raises:
        ValueError, TypeError, AttributeError: A value has the wrong type.
    """
    images, criterion = entry.get("images"), entry.get("criterion")
    return Score(
        label=label,
        group=group,
        images=None if images is None else int(images),
        miou=_rate(entry.get("miou")),
        threshold=_rate(entry.get("threshold")),
        criterion=None if criterion is None else str(criterion),
        oracle_miou=_rate(entry.get("oracle_miou")),
        oracle_threshold=_rate(entry.get("oracle_threshold")),
        false_positive=_rate(entry.get("false_positive")),
        false_negative=_rate(entry.get("false_negative")),
        coverage=_rate(entry.get("coverage")),
        iou={str(name): _rate(rate) for name, rate in (entry.get("iou") or {}).items()},
    )


def _rate(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
