"""``metrics.jsonl``: one line for each epoch of each training."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class EpochMetrics:
    """Means over one epoch of a training; numbers that were not logged are NaN.

    Attributes:
        stage: Name of the stage.
        epoch: Number of the epoch, from 1.
        epochs: Epochs of the whole training.
        loss: Total loss.
        parts: Weighted parts of the loss, by name.
        figures: Other means, by name.
        learning_rate: Learning rate at the end of the epoch.
        images_per_second: Speed of the training.
    """

    stage: str
    epoch: int
    epochs: int = 0
    loss: float = math.nan
    parts: Mapping[str, float] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
    learning_rate: float = math.nan
    images_per_second: float = math.nan


def metrics_line(metrics: EpochMetrics) -> str:
    """Return the line of an epoch, with its line feed; unknown numbers are left out."""
    values = {name: value for name, value in asdict(metrics).items() if value == value}  # not NaN
    return json.dumps(values) + "\n"


def read_metrics(path: Path) -> list[EpochMetrics]:
    """Read the epochs of all trainings; a missing file has none, and damaged lines are left out."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    epochs = []
    for line in lines:
        with suppress(*DAMAGED_LINE):
            epochs.append(parse_metrics_line(line))
    return epochs


def parse_metrics_line(line: str) -> EpochMetrics:
    """Parse one line.

    Raises:
        ValueError: The line is not JSON, or a value is not a number; a killed run may leave half a line.
        KeyError, TypeError, AttributeError: The line has another structure.
    """
    value = json.loads(line)
    return EpochMetrics(
        stage=str(value["stage"]),
        epoch=int(value["epoch"]),
        epochs=int(value.get("epochs") or 0),
        loss=_number(value.get("loss")),
        parts=_numbers(value.get("parts")),
        figures=_numbers(value.get("figures")),
        learning_rate=_number(value.get("learning_rate")),
        images_per_second=_number(value.get("images_per_second")),
    )


DAMAGED_LINE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""Errors that :func:`parse_metrics_line` raises."""


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _numbers(value: Mapping[str, Any] | None) -> dict[str, float]:
    return {str(name): _number(number) for name, number in (value or {}).items()}
