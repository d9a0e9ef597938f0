"""The contract of threshold criteria, and what they judge."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from semples.method.thresholds import CANDIDATES, lowest
from semples.records import Sample
from semples.rundir.threshold import ThresholdChoice

FALLBACK = 0.4
"""Threshold when no candidate is preferred: no tagged image, flat maps, or maps that miss the objects."""


@dataclass(frozen=True)
class ImageMaps:
    """CAMs of one image, as they will be cut.

    Attributes:
        sample: The image.
        cams: CAMs [P, H, W] in [0, 1] of its P classes.
        classes: Their 0-based indices [P], int64.
        read_image: Returns its pixels [3, H, W] in [0, 1]; not every criterion needs them.
    """

    sample: Sample
    cams: Tensor
    classes: Tensor
    read_image: Callable[[], Tensor]


class Criterion(ABC):
    """Chooses a threshold from the CAMs of training images: the candidate of the lowest cost."""

    name: ClassVar[str]
    """Name in the settings and in ``threshold.json``."""
    for_each_image: ClassVar[bool] = False
    """Whether each class of each image gets a threshold of its own, from its own maps."""

    @abstractmethod
    def costs(self, maps: Iterable[ImageMaps]) -> list[float]:
        """Return the cost of each of :data:`semples.method.thresholds.CANDIDATES` over the images of all processes."""

    def best(self, costs: Sequence[float]) -> float:
        """Return the threshold of the lowest cost, or :data:`FALLBACK`."""
        return best_threshold(costs)

    def choose(self, maps: Iterable[ImageMaps]) -> ThresholdChoice:
        """Choose one threshold for all images."""
        costs = self.costs(maps)
        return ThresholdChoice(self.name, self.best(costs), costs_by_candidate(costs))

    def choose_for_images(self, maps: Iterable[ImageMaps], samples: Sequence[Sample]) -> ThresholdChoice:
        """Choose the thresholds at which masks are cut; ``maps`` are this process's share of ``samples``."""
        del samples
        return self.choose(maps)


def best_threshold(costs: Sequence[float], otherwise: float = FALLBACK) -> float:
    """Return the threshold of the lowest cost; ``otherwise`` when no candidate is preferred."""
    best = lowest(costs)
    return otherwise if best is None else best


def costs_by_candidate(costs: Sequence[float]) -> Mapping[str, float]:
    """Return candidate threshold, as text with two decimals -> cost."""
    return {f"{threshold:.2f}": cost for threshold, cost in zip(CANDIDATES, costs, strict=True)}
