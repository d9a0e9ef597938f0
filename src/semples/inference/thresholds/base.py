"""The contract of threshold criteria."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import torch

from semples.inference.thresholds.image_maps import ImageMaps
from semples.inference.thresholds.second_opinion import ValueHistogram, is_at_edge, second_opinion
from semples.method.thresholds import CANDIDATES, lowest
from semples.records import Sample
from semples.rundir.threshold import ThresholdChoice

FALLBACK = 0.4
"""Threshold when no candidate is preferred: no tagged image, flat maps, or maps that miss the objects."""


class Criterion(ABC):
    """Chooses the candidate threshold of the lowest cost on the CAMs of training images.

    Args:
        device: Where sums over processes are taken.
    """

    name: ClassVar[str]
    """Name in the settings and in ``threshold.json``."""
    for_each_image: ClassVar[bool] = False
    """Whether each class of each image gets its own threshold, chosen on its own map."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @abstractmethod
    def costs(self, maps: Iterable[ImageMaps]) -> list[float]:
        """Return the cost of each of :data:`semples.method.thresholds.CANDIDATES` over the images of all processes."""

    def choose(self, maps: Iterable[ImageMaps]) -> ThresholdChoice:
        """Choose one threshold for all images."""
        histogram = ValueHistogram()
        costs = self.costs(histogram.watch(maps))
        return self.decide(costs, histogram)

    def decide(self, costs: Sequence[float], histogram: ValueHistogram) -> ThresholdChoice:
        """Choose the threshold of the lowest cost, with a second opinion if it is the lowest or highest candidate.

        Args:
            costs: Costs [T] over the images of all processes.
            histogram: Values of the maps of this process.
        """
        choice = ThresholdChoice(self.name, best_threshold(costs), costs_by_candidate(costs))
        if not is_at_edge(costs):
            return choice
        return self.reconsider(choice, *second_opinion(histogram.total(self.device), self.name))

    def reconsider(self, choice: ThresholdChoice, other: str, costs: Sequence[float]) -> ThresholdChoice:
        """Return the final choice if this criterion prefers the lowest or the highest candidate; by default it stands.

        Args:
            choice: The choice of this criterion.
            other: Name of the criterion that was asked for a second opinion.
            costs: Its costs [T].
        """
        return replace(choice, others={other: best_threshold(costs)})

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
