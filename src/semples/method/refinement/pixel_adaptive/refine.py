"""Pixel-adaptive mask refinement (PAMR) of Araslanov and Roth, CVPR 2020."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from semples.method.refinement.sizes import check_sizes

TILE = 1024
"""Side in pixels above which images are refined in tiles of about this size, to bound memory (200 MB)."""

_EPS = 1e-8


def pixel_adaptive_refinement(
    image: Tensor, scores: Tensor, dilations: Sequence[int], iterations: int, color_scale: float
) -> Tensor:
    """Repeatedly replace each pixel's scores with a weighted mean over neighbors, those of similar color weighing most.

    PAMR of Araslanov and Roth (CVPR 2020, arXiv 2005.08104). The neighbors j of a pixel i are the 8 around it at every
    dilation, with border pixels repeated outward; sigma is the standard deviation of a color channel over the 9 pixels
    around i of all dilations together:

        w(i, j) = softmax over j of  -mean over channels of |x_i - x_j| / (color_scale * sigma_i)
        s(i) <- sum over j of w(i, j) s(j)

    The mean of a constant is that constant: a constant background stays, and normalized scores stay normalized.

    Args:
        image: Colors [3, H, W] in any range.
        scores: Any number of maps [C, H, W].
        dilations: Distances of the neighbors in pixels, each 1 or more.
        iterations: Number of rounds.
        color_scale: Color difference, in local standard deviations, that lowers a weight by the factor e.

    Returns:
        Scores [C, H, W], float32, within the range of each map.

    Raises:
        ValueError: If image and scores differ in size.
    """
    check_sizes(image, scores)
    image, scores = image.float(), scores.float()
    # A pixel's result depends on pixels up to this far away: with that margin, tiles give the same as the whole image.
    reach = max(dilations) * iterations
    refined = torch.empty_like(scores)
    for rows, seen_rows in _tiles(scores.shape[1], reach):
        for columns, seen_columns in _tiles(scores.shape[2], reach):
            seen = (slice(None), seen_rows, seen_columns)
            tile = _refine_tile(image[seen], scores[seen], dilations, iterations, color_scale)
            top, left = rows.start - seen_rows.start, columns.start - seen_columns.start
            height, width = rows.stop - rows.start, columns.stop - columns.start
            refined[:, rows, columns] = tile[:, top : top + height, left : left + width]
    return refined


def _refine_tile(
    image: Tensor, scores: Tensor, dilations: Sequence[int], iterations: int, color_scale: float
) -> Tensor:
    weights = _color_affinity(image, dilations, color_scale)
    for _ in range(iterations):
        refined = torch.zeros_like(scores)
        for weight, neighbors in zip(weights, _neighbors(scores, dilations), strict=True):
            refined.addcmul_(neighbors, weight)
        scores = refined
    return scores


def _color_affinity(image: Tensor, dilations: Sequence[int], color_scale: float) -> Tensor:
    """Return the weights [8 D, H, W] of each pixel's neighbors at D dilations, which sum to 1."""
    logits = image.new_zeros((8 * len(dilations), *image.shape[1:]))
    for channel in image:
        step = color_scale * len(image) * _deviation(channel, dilations) + _EPS
        for logit, neighbor in zip(logits, _neighbors(channel[None], dilations), strict=True):
            logit.sub_((neighbor[0] - channel).abs_().div_(step))
    return logits.softmax(0)


def _deviation(channel: Tensor, dilations: Sequence[int]) -> Tensor:
    """Return the standard deviation [H, W] over the 9 pixels of all dilations, from differences to the center pixel."""
    total, squares = torch.zeros_like(channel), torch.zeros_like(channel)
    for neighbor in _neighbors(channel[None], dilations):
        difference = neighbor[0] - channel
        total.add_(difference)
        squares.addcmul_(difference, difference)
    count = 9 * len(dilations)
    return (squares / count - (total / count) ** 2).clamp(min=0).sqrt()


def _neighbors(maps: Tensor, dilations: Sequence[int]) -> Iterator[Tensor]:
    """Yield the maps [C, H, W] shifted to each of the 8 neighbors at each dilation, as views."""
    height, width = maps.shape[1:]
    margin = max(dilations)
    padded = F.pad(maps[None], [margin] * 4, mode="replicate")[0]
    for dilation in dilations:
        for down in (-dilation, 0, dilation):
            for right in (-dilation, 0, dilation):
                if down or right:
                    top, left = margin + down, margin + right
                    yield padded[:, top : top + height, left : left + width]


def _tiles(size: int, reach: int) -> Iterator[tuple[slice, slice]]:
    """Yield the tiles of an axis, each with the wider range of pixels that its result depends on."""
    length = size if size <= TILE else max(TILE - 2 * reach, reach)
    for start in range(0, size, length):
        stop = min(start + length, size)
        yield slice(start, stop), slice(max(0, start - reach), min(size, stop + reach))
