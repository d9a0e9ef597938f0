"""``4-pseudo-masks/threshold.json``: the threshold of the pseudo masks, and how it was chosen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from semples.errors import ResultError
from semples.files import write_json

CONSTANT = "constant"
"""Criterion recorded for a threshold that the settings give."""


@dataclass(frozen=True)
class ThresholdChoice:
    """A threshold, and how it was chosen.

    Attributes:
        criterion: Name of the criterion; "constant" for a threshold that the settings give.
        threshold: CAM value in [0, 1].
        costs: Candidate threshold, as text with two decimals -> its cost; empty for a constant.
        others: Further criteria that were asked because the first preferred the lowest or the highest candidate -> the
            threshold that each prefers.
        images: Image id -> one threshold for each of its classes; empty if one threshold holds for all images.
    """

    criterion: str
    threshold: float
    costs: Mapping[str, float] = field(default_factory=dict)
    others: Mapping[str, float] = field(default_factory=dict)
    images: Mapping[str, Sequence[float]] = field(default_factory=dict)


def write_threshold(path: Path, choice: ThresholdChoice) -> None:
    """Write the file."""
    content = {
        "criterion": choice.criterion,
        "threshold": choice.threshold,
        "costs": {threshold: round(cost, 6) for threshold, cost in choice.costs.items()},
        "others": dict(choice.others),
        "images": {id: list(thresholds) for id, thresholds in choice.images.items()},
    }
    write_json(path, content)


def read_threshold(path: Path) -> ThresholdChoice:
    """Read the file of a finished stage.

    Raises:
        ResultError: The file is missing or damaged.
    """
    try:
        return parse_threshold(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ResultError(
            f"{path}: missing; run stage pseudo-masks first (--force pseudo-masks recreates it)"
        ) from error
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ResultError(f"{path}: damaged ({error}); --force pseudo-masks recreates it") from error


def parse_threshold(text: str) -> ThresholdChoice:
    """Parse the content of the file.

    Raises:
        ValueError: The text is not JSON, or a value is not a number.
        KeyError, TypeError, AttributeError: The text has another structure.
    """
    value = json.loads(text)
    costs = {str(threshold): float(cost) for threshold, cost in value["costs"].items()}
    others = {str(name): float(each) for name, each in value.get("others", {}).items()}
    images = {str(id): [float(each) for each in thresholds] for id, thresholds in value.get("images", {}).items()}
    return ThresholdChoice(str(value["criterion"]), float(value["threshold"]), costs, others, images)
