"""The results in ``evaluation.json``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_CAM_ENTRIES = (
    ("cams", "classify", "CAM"),
    ("cams", "match", "Matched CAM"),
    ("cams", "refine", "Refined CAM"),
)
_MASK_ENTRIES = (
    ("pseudo_masks", None, "Pseudo masks"),
    ("segmentation", "train", "Segmentation, train"),
    ("segmentation", "val", "Segmentation, held out"),
    ("supervised_bound", "train", "Supervised bound, train"),
    ("supervised_bound", "val", "Supervised bound, held out"),
)


@dataclass(frozen=True)
class Score:
    """One result; rates are in 0..1, and None where they do not apply."""

    label: str
    group: str
    images: int | None
    miou: float | None
    threshold: float | None
    oracle_miou: float | None
    oracle_threshold: float | None
    false_positive: float | None
    false_negative: float | None
    coverage: float | None
    iou: Mapping[str, float | None]


@dataclass(frozen=True)
class Evaluation:
    """Class names without background, and every result that is there, in the order of the stages."""

    classes: tuple[str, ...] = ()
    scores: tuple[Score, ...] = ()


def read_evaluation(value: Mapping[str, Any]) -> Evaluation:
    """Take the results out of ``evaluation.json``; those that are null or absent are left out."""
    found = []
    steps = [("refinements", str(name), f"After {name}") for name in value.get("refinements") or ()]
    for group, key, label in (*_CAM_ENTRIES, *steps, *_MASK_ENTRIES):
        entry = value.get(group)
        if key is not None and entry is not None:
            entry = entry.get(key)
        if entry is not None:
            found.append(_score(label, group, entry))
    return Evaluation(tuple(str(name) for name in value["classes"]), tuple(found))


def _score(label: str, group: str, entry: Mapping[str, Any]) -> Score:
    images = entry.get("images")
    return Score(
        label=label,
        group=group,
        images=None if images is None else int(images),
        miou=_rate(entry.get("miou")),
        threshold=_rate(entry.get("threshold")),
        oracle_miou=_rate(entry.get("oracle_miou")),
        oracle_threshold=_rate(entry.get("oracle_threshold")),
        false_positive=_rate(entry.get("false_positive")),
        false_negative=_rate(entry.get("false_negative")),
        coverage=_rate(entry.get("coverage")),
        iou={str(name): _rate(rate) for name, rate in (entry.get("iou") or {}).items()},
    )


def _rate(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
