"""The contract of threshold criteria, and the maps that they judge."""

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
    """The CAMs of one image, as they will be cut.

    Attributes:
        sample: The image.
        cams: CAMs [P, H, W] in [0, 1] of its P classes.
        classes: 0-based indices [P] of these classes, int64.
        read_image: Returns the pixels [3, H, W] of the image in [0, 1]; only some criteria need them.
    """

    sample: Sample
    cams: Tensor
    classes: Tensor
    read_image: Callable[[], Tensor]


class Criterion(ABC):
    """Chooses the candidate threshold of the lowest cost on the CAMs of training images."""

    name: ClassVar[str]
    """Name in the settings and in ``threshold.json``."""
    for_each_image: ClassVar[bool] = False
    """Whether each class of each image gets its own threshold, chosen on its own map."""

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
        """Choose the thresholds at which masks are cut.

        Args:
            maps: This process's share of the maps.
            samples: The images of all processes.
        """
        del samples  # one threshold suits all of them
        return self.choose(maps)


def best_threshold(costs: Sequence[float], otherwise: float = FALLBACK) -> float:
    """Return the threshold of the lowest cost; ``otherwise`` when no candidate is preferred."""
    best = lowest(costs)
    return otherwise if best is None else best


def costs_by_candidate(costs: Sequence[float]) -> Mapping[str, float]:
    """Return a mapping: candidate threshold, as text with two decimals -> its cost."""
    return {f"{threshold:.2f}": cost for threshold, cost in zip(CANDIDATES, costs, strict=True)}
