"""Refine soft masks with the colors of the image (``docs/method.md``).

Each step takes scores and returns scores, so that steps can run in any order. Scores are [K'+1, H, W], 0 or more, for
background (first) and the K' classes present in the image; a pixel gets the label of its highest score. The
first scores are CAMs with a constant background (:func:`semples.method.masks.with_background`); images are [3, H, W] in
[0, 1].
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from semples.errors import ConfigError

TILE = 1024
"""Side in pixels above which images are refined in tiles of about this size, to bound memory (200 MB)."""

_EPS = 1e-8


def pixel_adaptive_refinement(
    image: Tensor, scores: Tensor, dilations: Sequence[int], iterations: int, colour_scale: float
) -> Tensor:
    """Repeatedly replace each pixel's scores with a weighted mean over neighbors, those of similar color weighing most.

    PAMR of Araslanov and Roth (CVPR 2020, arXiv 2005.08104). The neighbors j of a pixel i are the 8 around it at every
    dilation, with border pixels repeated outward; sigma is the standard deviation of a color channel over the 9 pixels
    around i of all dilations together:

        w(i, j) = softmax over j of  -mean over channels of |x_i - x_j| / (colour_scale * sigma_i)
        s(i) <- sum over j of w(i, j) s(j)

    The mean of a constant is that constant: a constant background stays, and normalized scores stay normalized.

    Args:
        image: Colors [3, H, W] in any range.
        scores: Any number of maps [C, H, W].
        dilations: Distances of the neighbors in pixels, each 1 or more.
        iterations: Number of rounds.
        colour_scale: Color difference, in local standard deviations, that lowers a weight by the factor e.

    Returns:
        Scores [C, H, W], float32, within the range of each map.

    Raises:
        ValueError: If image and scores differ in size.
    """
    _check_sizes(image, scores)
    image, scores = image.float(), scores.float()
    reach = max(dilations) * iterations
    refined = torch.empty_like(scores)
    for rows, seen_rows in _tiles(scores.shape[1], reach):
        for columns, seen_columns in _tiles(scores.shape[2], reach):
            seen = (slice(None), seen_rows, seen_columns)
            tile = _refine_tile(image[seen], scores[seen], dilations, iterations, colour_scale)
            top, left = rows.start - seen_rows.start, columns.start - seen_columns.start
            height, width = rows.stop - rows.start, columns.stop - columns.start
            refined[:, rows, columns] = tile[:, top : top + height, left : left + width]
    return refined


def dense_crf(
    image: Tensor,
    scores: Tensor,
    *,
    iterations: int,
    label_confidence: float,
    gaussian_sxy: float,
    gaussian_compat: float,
    bilateral_sxy: float,
    bilateral_srgb: float,
    bilateral_compat: float,
) -> Tensor:
    """Return the marginals of a fully connected CRF over the label map of the scores.

    Kraehenbuehl and Koltun (NeurIPS 2011, arXiv 1210.5644), computed by pydensecrf2 on the CPU. Each pixel's current
    label has the probability ``label_confidence``; the other labels of the image share the rest equally.

    Args:
        image: Colors [3, H, W] in [0, 1]; colors that were 8-bit are recovered exactly.
        scores: Scores [K'+1, H, W]; without a class (K' = 0) all marginals are 1.
        iterations: Mean-field iterations.
        label_confidence: Between 0 and 1.
        gaussian_sxy: Standard deviation of the smoothness kernel in pixels.
        gaussian_compat: Weight of the smoothness kernel.
        bilateral_sxy: Standard deviation of the appearance kernel in pixels.
        bilateral_srgb: Standard deviation of the appearance kernel in color, in steps of 1 / 255.
        bilateral_compat: Weight of the appearance kernel.

    Returns:
        Marginals [K'+1, H, W] in [0, 1], float32, which sum to 1 over the labels, on the device of the scores.

    Raises:
        ValueError: If image and scores differ in size.
        ConfigError: If pydensecrf2 is not installed.
    """
    _check_sizes(image, scores)
    count, height, width = scores.shape
    if count == 1:
        return torch.ones_like(scores, dtype=torch.float32)
    field = load_dense_crf().DenseCRF2D(width, height, count)
    own = scores.new_tensor(label_confidence, dtype=torch.float32).log()
    other = scores.new_tensor((1 - label_confidence) / (count - 1), dtype=torch.float32).log()
    is_own = F.one_hot(scores.argmax(0).flatten(), count).T.bool()  # [K'+1, H*W]
    field.setUnaryEnergy(torch.where(is_own, -own, -other).contiguous().cpu().numpy())
    colors = (image * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()
    field.addPairwiseGaussian(sxy=gaussian_sxy, compat=gaussian_compat)
    field.addPairwiseBilateral(sxy=bilateral_sxy, srgb=bilateral_srgb, rgbim=colors, compat=bilateral_compat)
    marginals = torch.from_numpy(np.array(field.inference(iterations), np.float32))  # [K'+1, H*W]
    return marginals.reshape(count, height, width).to(scores.device)


def load_dense_crf() -> Any:
    """Import the module of pydensecrf2.

    Raises:
        ConfigError: The package is not installed.
    """
    try:
        from pydensecrf import densecrf
    except ImportError as error:
        raise ConfigError('dense_crf needs the package pydensecrf2: pip install "semples[crf]"') from error
    return densecrf


def ignore_band(low: Tensor, high: Tensor, ignore_index: int) -> Tensor:
    """Keep the labels that a low and a high background score agree on, and ignore the others as uncertain.

    Args:
        low: Label map [H, W] of a low background score.
        high: Label map [H, W] of a high background score.
        ignore_index: Label of the pixels that differ.

    Returns:
        Label map [H, W] with the dtype of ``low``.
    """
    return torch.where(low == high, low, ignore_index).to(low.dtype)


def _refine_tile(
    image: Tensor, scores: Tensor, dilations: Sequence[int], iterations: int, colour_scale: float
) -> Tensor:
    weights = _color_affinity(image, dilations, colour_scale)
    for _ in range(iterations):
        refined = torch.zeros_like(scores)
        for weight, neighbors in zip(weights, _neighbors(scores, dilations), strict=True):
            refined.addcmul_(neighbors, weight)
        scores = refined
    return scores


def _color_affinity(image: Tensor, dilations: Sequence[int], colour_scale: float) -> Tensor:
    """Return the weights [8 D, H, W] of each pixel's neighbors at D dilations, which sum to 1."""
    logits = image.new_zeros((8 * len(dilations), *image.shape[1:]))
    for channel in image:
        step = colour_scale * len(image) * _deviation(channel, dilations) + _EPS
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
    part = size if size <= TILE else max(TILE - 2 * reach, reach)
    for start in range(0, size, part):
        stop = min(start + part, size)
        yield slice(start, stop), slice(max(0, start - reach), min(size, stop + reach))


def _check_sizes(image: Tensor, scores: Tensor) -> None:
    if scores.dim() != 3 or image.shape[1:] != scores.shape[1:]:
        raise ValueError(
            f"scores have shape {tuple(scores.shape)}, expected [C, H, W] at the size of the image, "
            f"{tuple(image.shape[1:])}"
        )
