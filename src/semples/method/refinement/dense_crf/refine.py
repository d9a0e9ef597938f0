"""Fully connected CRF of Kraehenbuehl and Koltun, NeurIPS 2011, by pydensecrf2."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from semples.errors import ConfigError
from semples.method.refinement.sizes import check_sizes


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
    check_sizes(image, scores)
    count, height, width = scores.shape
    if count == 1:
        return torch.ones_like(scores, dtype=torch.float32)
    field = load_dense_crf().DenseCRF2D(width, height, count)
    log_current = scores.new_tensor(label_confidence, dtype=torch.float32).log()
    log_other = scores.new_tensor((1 - label_confidence) / (count - 1), dtype=torch.float32).log()
    is_current = F.one_hot(scores.argmax(0).flatten(), count).T.bool()  # [K'+1, H*W]
    field.setUnaryEnergy(torch.where(is_current, -log_current, -log_other).contiguous().cpu().numpy())
    colors = (image * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()
    field.addPairwiseGaussian(sxy=gaussian_sxy, compat=gaussian_compat)
    field.addPairwiseBilateral(sxy=bilateral_sxy, srgb=bilateral_srgb, rgbim=colors, compat=bilateral_compat)
    marginals = torch.from_numpy(np.array(field.inference(iterations), np.float32))  # [K'+1, H*W]
    return marginals.reshape(count, height, width).to(scores.device)


def load_dense_crf() -> Any:
    """Import and return the module of pydensecrf2.

    Raises:
        ConfigError: The package is not installed.
    """
    try:
        from pydensecrf import densecrf
    except ImportError as error:
        raise ConfigError('dense_crf: the package pydensecrf2 is missing; pip install "semples[crf]"') from error
    return densecrf
