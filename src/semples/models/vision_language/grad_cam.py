"""Softmax Grad-CAM of texts against other texts, after the formulas of CLIP-ES (arXiv 2212.09506)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from semples.models.vision_language.adapter import CutForward


@torch.enable_grad()
def grad_cams(cut: CutForward, texts: Tensor, backgrounds: Tensor, labels: Tensor, scale: float) -> Tensor:
    """Softmax Grad-CAM: ReLU(sum over channels of a_k A_k), a_k the spatial mean of d s_c / d A_k, for each class c.

    s_c is the softmax of the scaled cosines Y of the image with the texts of all present classes and with all
    backgrounds, so that a class gets credit only for evidence that sets it apart from the others. With q the softmax
    over the others alone, d s_c = s_c (1 - s_c) (d Y_c - sum over the others of q_j d Y_j). The factor in front, which
    vanishes where the softmax saturates, is left out: each map is divided by its maximum anyway.

    Args:
        cut: Forward pass of B images, cut in two.
        texts: Class features [K, D].
        backgrounds: Background features [N, D].
        labels: [B, K], 0 or 1.
        scale: Factor on cosines.

    Returns:
        CAMs [B, K, h, w] in [0, 1], zero for absent classes.
    """
    present = labels > 0
    competing = torch.cat([present, present.new_ones(len(labels), len(backgrounds))], 1)  # [B, K + N]
    patches = slice(-cut.grid[0] * cut.grid[1], None)
    activations = cut.activations.detach()[:, patches]
    logits = scale * (cut.features @ torch.cat([texts, backgrounds]).T)  # [B, K + N]
    cams = texts.new_zeros(len(labels), len(texts), *cut.grid)
    for class_ in present.any(0).nonzero().flatten().tolist():
        chosen = present[:, class_]
        # Images do not interact, so the gradient of the sum holds the gradient of each.
        margins = _margins(logits, competing, class_)[chosen].sum()
        (gradient,) = torch.autograd.grad(margins, cut.activations, retain_graph=True)
        weights = gradient[chosen, patches].mean(1, keepdim=True)  # [P, 1, C]
        maps = F.relu((weights * activations[chosen]).sum(-1))  # [P, hw]
        maps = maps / maps.amax(1, keepdim=True).clamp(min=torch.finfo(maps.dtype).tiny)
        cams[chosen, class_] = maps.unflatten(1, cut.grid).to(cams.dtype)
    return cams


def _margins(logits: Tensor, competing: Tensor, class_: int) -> Tensor:
    """Subtract from the logit of a class the softmax-weighted mean of the logits competing with it: [B]."""
    others = competing.clone()
    others[:, class_] = False
    weights = logits.detach().masked_fill(~others, float("-inf")).softmax(1)
    return logits[:, class_] - (weights * logits).sum(1)
