"""Criteria that look at the values of the CAMs alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

import torch
from torch import Tensor

from semples.inference.thresholds.base import Criterion, ImageMaps
from semples.method.thresholds import LEVELS, li_costs, otsu_costs
from semples.parallel.processes import all_reduce_sum


class HistogramCriterion(Criterion):
    """Costs from the histogram of each pixel's highest CAM."""

    costs_of: ClassVar[Callable[..., Tensor]]
    """Turns the histogram [256] into the cost of each candidate [T]."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def costs(self, maps: Iterable[ImageMaps]) -> list[float]:
        """Return the cost of each candidate over the pixels of all images."""
        return list(type(self).costs_of(value_histogram(maps, self.device)).tolist())


class LiCriterion(HistogramCriterion):
    """Cross entropy between the values and their means on the two sides of a threshold (Li and Lee, 1993)."""

    name: ClassVar[str] = "li"
    costs_of = staticmethod(li_costs)


class OtsuCriterion(HistogramCriterion):
    """Variance of the values that a threshold leaves on its two sides (Otsu, 1979)."""

    name: ClassVar[str] = "otsu"
    costs_of = staticmethod(otsu_costs)


def value_histogram(maps: Iterable[ImageMaps], device: torch.device) -> Tensor:
    """Count the highest values [256] of the pixels of all images of all processes."""
    histogram = torch.zeros(LEVELS, dtype=torch.int64, device=device)
    for image in maps:
        if len(image.cams):
            levels = (image.cams.amax(0) * (LEVELS - 1)).round().long().flatten()
            histogram += torch.bincount(levels, minlength=LEVELS)
    return all_reduce_sum(histogram)
