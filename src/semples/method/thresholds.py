"""Costs of candidate thresholds for CAMs, without ground truth, as pure functions (``docs/method.md``).

Shapes: P (image, class) pairs, T candidate thresholds, D feature width, H x W pixels. A lower cost is
better. A pixel is inside a region if its value is above the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from semples.method.losses import MatchScore

CANDIDATES = tuple(step / 100 for step in range(2, 75, 8))
"""Candidate thresholds: 0.02 to 0.74 in steps of 0.08; a parabola finds the best value between them."""

LEVELS = 256
"""Number of bins of the histograms of :func:`li_costs` and :func:`otsu_costs`: one per value of an 8-bit map."""

_ROUNDING = 1e-6
"""Costs that differ by at most this much count as equal."""


def hard_masks(maps: Tensor, thresholds: Sequence[float] = CANDIDATES) -> Tensor:
    """Cut maps [P, H, W] in [0, 1] at each threshold: masks [P, T, H, W], bool."""
    return maps[:, None] > maps.new_tensor(thresholds)[:, None, None]


def prompt_costs(foreground: Tensor, background: Tensor, texts: Tensor, prompts: Tensor, score: MatchScore) -> Tensor:
    """Return the cost of regions: the object should be inside, and the content the prompt describes outside.

    ``-log s(X_f, t_c) - log(1 - s(X_b, t_c)) - log(1 - s(X_f, p_c)) - log s(X_b, p_c)``, ``docs/method.md``,
    "Thresholds without masks". The last term keeps the foreground from growing: without it, the cost may keep falling
    as the foreground takes over the background.

    Args:
        foreground: Image features [..., D] of the foreground regions X_f, L2-normalized.
        background: Image features [..., D] of the background regions X_b, L2-normalized.
        texts: Class text features [..., D], L2-normalized.
        prompts: Prompt features [..., D], L2-normalized.
        score: How image and text are compared.

    Returns:
        Costs [...], >= 0, float32 or better.
    """
    wanted = score.log(foreground, texts) + score.log(background, prompts)
    unwanted = score.log_not(background, texts) + score.log_not(foreground, prompts)
    return -(wanted + unwanted)


def place_costs(places: Tensor, maps: Tensor, thresholds: Sequence[float] = CANDIDATES) -> Tensor:
    """Return how much the two sides of each cut look alike: the cosine of their mean places.

    The maps say where to cut, and what is there says how well: a cut through an object, or through its surroundings,
    leaves some of the same on both sides. A side of very few places differs by chance alone, so each mean includes one
    place more, with the mean of the image (``docs/method.md``, "Thresholds without masks").

    Args:
        places: L2-normalized features [h, w, D] of the places of an image.
        maps: CAMs [P, H, W] in [0, 1] of the image.
        thresholds: Candidate thresholds [T].

    Returns:
        Costs [P, T] in [-1, 1], float32 or better; 1 where a side is empty.
    """
    masks = hard_masks(maps, thresholds).to(places.dtype)  # [P, T, H, W]
    shares = F.adaptive_avg_pool2d(masks, (places.shape[0], places.shape[1])).flatten(
        2
    )  # [P, T, hw]: share of each place that is inside
    features = places.flatten(0, 1)  # [hw, D]
    prior = features.mean(0)
    inside, outside = shares @ features + prior, (1 - shares) @ features + prior  # [P, T, D]
    is_cut = (shares.sum(2) > 0) & ((1 - shares).sum(2) > 0)
    return torch.where(is_cut, F.cosine_similarity(inside, outside, dim=-1), 1.0)


def shrunk_costs(costs: Tensor, classes: Tensor, prior: float) -> Tensor:
    """Pull the costs of each pair toward the mean of its class: J_ic + n0 * J_c.

    Args:
        costs: Costs [P, T].
        classes: 0-based class of each pair [P], int64.
        prior: n0, the number of pairs that the mean counts for; 0 judges each pair alone.

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

    Terms that do not depend on the threshold are left out: ``-(S_i log m_i + S_o log m_o)``, with S the sum of the
    values above (i) and below (o) the threshold, divided by the number of all pixels, and m their means. Li and Lee,
    Pattern Recognition 26 (1993).

    Args:
        histogram: Counts [N] of values 0, 1 / (N - 1), ..., 1.
        thresholds: Candidate thresholds [T].

    Returns:
        Costs [T], >= 0, float64. An empty side gives the cost of a single mean, which is the highest possible.
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
    """Return the share of the values' variance that remains within the two sides of each threshold.

    Otsu, IEEE Transactions on Systems, Man, and Cybernetics 9 (1979).

    Args:
        histogram: Counts [N] of values 0, 1 / (N - 1), ..., 1.
        thresholds: Candidate thresholds [T].

    Returns:
        Costs [T] in [0, 1], float64; 1 if a side is empty.
    """
    counts = histogram.double()
    values = torch.linspace(0, 1, len(counts), dtype=torch.float64, device=counts.device)
    share = counts / counts.sum().clamp(min=1)
    centered = values - (share * values).sum()
    total = (share * centered.square()).sum()
    inside = values > counts.new_tensor(thresholds)[:, None]  # [T, N]
    weight = (inside * share).sum(1)
    moment = (inside * share * centered).sum(1)
    between = moment.square() / (weight * (1 - weight))
    is_cut = (weight > 0) & (weight < 1) & (total > 0)
    return torch.where(is_cut, 1 - between / total, 1.0).clamp(0, 1)


def lowest(costs: Sequence[float], thresholds: Sequence[float] = CANDIDATES) -> float | None:
    """Return the threshold of the lowest cost, refined by a parabola through the best candidate and its neighbors.

    Args:
        costs: Cost of each threshold [T]; in a tie the lowest threshold wins.
        thresholds: Ascending and evenly spaced [T].

    Returns:
        The threshold, rounded to 0.01; None if all costs are equal up to rounding, so that none is preferred.

    Raises:
        ValueError: If there is not one cost per threshold.
    """
    if not len(costs) or len(costs) != len(thresholds):
        raise ValueError(f"{len(costs)} costs for {len(thresholds)} thresholds, expected one each, at least one")
    if max(costs) - min(costs) <= _ROUNDING:
        return None
    best = min(range(len(costs)), key=lambda index: costs[index])
    if best in (0, len(costs) - 1):
        return round(thresholds[best], 2)
    before, here, after = costs[best - 1 : best + 2]
    shift = (before - after) / (2 * (before - 2 * here + after))  # divisor > 0: this is the first minimum
    return round(thresholds[best] + shift * (thresholds[best] - thresholds[best - 1]), 2)
