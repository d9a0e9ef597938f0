"""Where to cut CAMs, judged without ground truth: costs of candidate thresholds as pure functions (``docs/method.md``).

Shapes: P (image, class) pairs, T candidate thresholds, D feature width, H x W pixels. The lower a cost the better;
a pixel is inside of a region if its value is above the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from semples.method.losses import MatchScore

CANDIDATES = tuple(step / 100 for step in range(2, 75, 8))
"""Thresholds that are judged: 0.02 to 0.74 in steps of 0.08; a parabola finds the best in between."""

LEVELS = 256
"""Bins of the histograms of :func:`li_costs` and :func:`otsu_costs`: those of 8-bit maps."""

_ROUNDING = 1e-6
"""Costs that differ by no more are equal."""


def hard_masks(maps: Tensor, thresholds: Sequence[float] = CANDIDATES) -> Tensor:
    """Cut maps [P, H, W] in [0, 1] at each threshold: masks [P, T, H, W], bool."""
    return maps[:, None] > maps.new_tensor(thresholds)[:, None, None]


def prompt_costs(foreground: Tensor, background: Tensor, texts: Tensor, prompts: Tensor, score: MatchScore) -> Tensor:
    """Return what speaks against regions: the object belongs inside, what the prompt describes belongs outside.

    ``-log s(X_f, t_c) - log(1 - s(X_b, t_c)) - log(1 - s(X_f, p_c)) - log s(X_b, p_c)``, ``docs/method.md``,
    "Thresholds without masks". The last part holds the background back: without it, costs may go on falling as the
    foreground grows.

    Args:
        foreground: Image features [..., D] of the foreground regions X_f, L2-normalised.
        background: Those of the background regions X_b.
        texts: Class text features [..., D], L2-normalised.
        prompts: Prompt features [..., D], L2-normalised.
        score: How image and text are matched.

    Returns:
        Costs [...], >= 0, float32 or better.
    """
    wanted = score.log(foreground, texts) + score.log(background, prompts)
    unwanted = score.log_not(background, texts) + score.log_not(foreground, prompts)
    return -(wanted + unwanted)


def shrunk_costs(costs: Tensor, classes: Tensor, prior: float) -> Tensor:
    """Draw the costs of each pair towards the mean of its class: J_ic + n0 * J_c.

    Args:
        costs: Costs [P, T].
        classes: 0-based class of each pair [P], int64.
        prior: n0, for how many pairs the mean counts; 0 leaves each pair to itself.

    Returns:
        Costs [P, T].
    """
    if not len(classes):
        return costs
    counts = torch.bincount(classes).clamp(min=1).to(costs.dtype)
    sums = costs.new_zeros(len(counts), costs.shape[1]).index_add_(0, classes, costs)
    return costs + prior * (sums / counts[:, None])[classes]


def li_costs(histogram: Tensor, thresholds: Sequence[float] = CANDIDATES) -> Tensor:
    """Return the cross entropy between the values and their means on the two sides of each threshold.

    Without what does not depend on the threshold: ``-(S_i log m_i + S_o log m_o)``, with S the sum of the values above
    (i) and below (o), in shares of all pixels, and m their means. Li and Lee, Pattern Recognition 26 (1993).

    Args:
        histogram: Counts [N] of values 0, 1 / (N - 1), ..., 1.
        thresholds: T of them.

    Returns:
        Costs [T], >= 0, float64; that of one mean for all where a side is empty, the highest there is.
    """
    counts = histogram.double()
    values = torch.linspace(0, 1, len(counts), dtype=torch.float64, device=counts.device)
    share = counts / counts.sum().clamp(min=1)
    inside = values > counts.new_tensor(thresholds)[:, None]  # [T, N]

    def part(side: Tensor) -> Tensor:
        weight, total = (side * share).sum(1), (side * share * values).sum(1)
        return -torch.xlogy(total, total / weight.clamp(min=torch.finfo(torch.float64).tiny))

    return part(inside) + part(~inside)


def otsu_costs(histogram: Tensor, thresholds: Sequence[float] = CANDIDATES) -> Tensor:
    """Return the share of the values' variance that is left on the two sides of each threshold.

    Otsu, IEEE Transactions on Systems, Man, and Cybernetics 9 (1979).

    Args:
        histogram: Counts [N] of values 0, 1 / (N - 1), ..., 1.
        thresholds: T of them.

    Returns:
        Costs [T] in [0, 1], float64; 1 where a side is empty.
    """
    counts = histogram.double()
    values = torch.linspace(0, 1, len(counts), dtype=torch.float64, device=counts.device)
    share = counts / counts.sum().clamp(min=1)
    centred = values - (share * values).sum()
    total = (share * centred.square()).sum()
    inside = values > counts.new_tensor(thresholds)[:, None]  # [T, N]
    weight = (inside * share).sum(1)
    moment = (inside * share * centred).sum(1)
    between = moment.square() / (weight * (1 - weight))
    is_cut = (weight > 0) & (weight < 1) & (total > 0)
    return torch.where(is_cut, 1 - between / total, 1.0).clamp(0, 1)


def lowest(costs: Sequence[float], thresholds: Sequence[float] = CANDIDATES) -> float | None:
    """Return the threshold of the lowest cost, in between the candidates by a parabola through it and its neighbours.

    Args:
        costs: Cost of each threshold [T]; of equal ones the lowest threshold counts.
        thresholds: Ascending and evenly spaced [T].

    Returns:
        The threshold, rounded to 0.01; None where all costs are equal up to rounding, and nothing speaks for any.

    Raises:
        ValueError: If there is not one cost for each threshold.
    """
    if not len(costs) or len(costs) != len(thresholds):
        raise ValueError(f"{len(costs)} costs for {len(thresholds)} thresholds, expected one for each, at least one")
    if max(costs) - min(costs) <= _ROUNDING:
        return None
    best = min(range(len(costs)), key=lambda index: costs[index])
    if best in (0, len(costs) - 1):
        return round(thresholds[best], 2)
    before, here, after = costs[best - 1 : best + 2]
    shift = (before - after) / (2 * (before - 2 * here + after))  # the first of equals lies below the one before it
    return round(thresholds[best] + shift * (thresholds[best] - thresholds[best - 1]), 2)
