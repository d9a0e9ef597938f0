"""Criteria that use only the values of the CAMs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

import torch
from torch import Tensor

from semples.inference.thresholds.base import Criterion, ImageMaps
from semples.method.thresholds import LEVELS, li_costs, otsu_costs
from semples.parallel.processes import all_reduce_sum


class HistogramCriterion(Criterion):
    """Computes costs from the histogram of the highest CAM of each pixel."""

    costs_of: ClassVar[Callable[..., Tensor]]
    """Maps the histogram [256] to the costs [T] of the candidates."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def costs(self, maps: Iterable[ImageMaps]) -> list[float]:
        """Return the cost of each candidate over the pixels of all images."""
        return list(type(self).costs_of(value_histogram(maps, self.device)).tolist())


class LiCriterion(HistogramCriterion):
    """Minimizes the cross entropy between values and their means on both sides of a threshold (Li and Lee, 1993)."""

    name: ClassVar[str] = "li"
    costs_of = staticmethod(li_costs)


class OtsuCriterion(HistogramCriterion):
    """Minimizes the variance of the values on both sides of a threshold (Otsu, 1979)."""

    name: ClassVar[str] = "otsu"
    costs_of = staticmethod(otsu_costs)


def value_histogram(maps: Iterable[ImageMaps], device: torch.device) -> Tensor:
    """Return the histogram [256], int64, of the highest CAM of each pixel, over the images of all processes."""
    histogram = torch.zeros(LEVELS, dtype=torch.int64, device=device)
    for image in maps:
        if len(image.cams):
            levels = (image.cams.amax(0) * (LEVELS - 1)).round().long().flatten()
            histogram += torch.bincount(levels, minlength=LEVELS)
    return all_reduce_sum(histogram)
