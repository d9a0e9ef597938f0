"""A second opinion where a criterion prefers the lowest or the highest candidate, which is rarely the best cut."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from semples.inference.thresholds.image_maps import ImageMaps
from semples.method.thresholds import CANDIDATES, LEVELS, li_costs, lowest, otsu_costs
from semples.parallel.processes import all_reduce_sum

_COSTS: dict[str, Callable[[Tensor], Tensor]] = {"li": li_costs, "otsu": otsu_costs}


class ValueHistogram:
    """Counts the highest CAM of each pixel while images pass by on their way to a criterion."""

    def __init__(self) -> None:
        self._counts = torch.zeros(LEVELS, dtype=torch.int64)

    def watch(self, maps: Iterable[ImageMaps]) -> Iterator[ImageMaps]:
        """Yield the maps unchanged, and count their values; an image without classes adds nothing."""
        for image in maps:
            if len(image.cams):
                levels = (image.cams.amax(0) * (LEVELS - 1)).round().long().flatten()
                self._counts = self._counts.to(levels.device) + torch.bincount(levels, minlength=LEVELS)
            yield image

    def total(self, device: torch.device) -> Tensor:
        """Return the counts [256], int64, over the images of all processes."""
        return all_reduce_sum(self._counts.to(device))


def is_at_edge(costs: Sequence[float]) -> bool:
    """Return whether the lowest or the highest candidate is preferred."""
    return lowest(costs) in (CANDIDATES[0], CANDIDATES[-1])


def second_opinion(histogram: Tensor, doubted: str) -> tuple[str, list[float]]:
    """Return the name and the costs [T] of ``li``, or of ``otsu`` if ``li`` is in doubt itself.

    Args:
        histogram: Counts [256] of the values of the maps.
        doubted: Name of the criterion in doubt.
    """
    name = next(name for name in _COSTS if name != doubted)
    return name, list(_COSTS[name](histogram).tolist())
