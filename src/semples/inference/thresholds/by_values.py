"""Criteria that use only the values of the CAMs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import ClassVar

from torch import Tensor

from semples.inference.thresholds.base import Criterion
from semples.inference.thresholds.image_maps import ImageMaps
from semples.inference.thresholds.second_opinion import ValueHistogram
from semples.method.thresholds import li_costs, otsu_costs


class HistogramCriterion(Criterion):
    """Computes costs from the histogram of the highest CAM of each pixel."""

    costs_of: ClassVar[Callable[..., Tensor]]
    """Maps the histogram [256] to the costs [T] of the candidates."""

    def costs(self, maps: Iterable[ImageMaps]) -> list[float]:
        """Return the cost of each candidate over the pixels of all images."""
        histogram = ValueHistogram()
        deque(histogram.watch(maps), maxlen=0)
        return list(type(self).costs_of(histogram.total(self.device)).tolist())


class LiCriterion(HistogramCriterion):
    """Minimizes the cross entropy between values and their means on both sides of a threshold (Li and Lee, 1993)."""

    name: ClassVar[str] = "li"
    costs_of = staticmethod(li_costs)


class OtsuCriterion(HistogramCriterion):
    """Minimizes the variance of the values on both sides of a threshold (Otsu, 1979)."""

    name: ClassVar[str] = "otsu"
    costs_of = staticmethod(otsu_costs)
