"""CAMs from the vision-language model itself: softmax Grad-CAM of class texts against background texts.

After CLIP-ES (arXiv 2212.09506), by its formulas. Shapes: B images, K classes, N backgrounds, T tokens, C channels,
D joint space, h x w patches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from semples.errors import ConfigError
from semples.models.generators.base import FoundationGenerator, MaskGeneratorOutput
from semples.models.vision_language.adapter import CutForward
from semples.models.vision_language.model import VisionLanguageModel


class ClipGenerator(FoundationGenerator):
    """Softmax Grad-CAM over the present classes' texts against background texts; nothing in it trains.

    Args:
        vision_language: The frozen model; shared, and no part of this module's state.
        names: K class names as the model knows them.
        background_words: Words for what is never an object. Class names among them are left out, and so are words
            that the model's tokenizer does not know.

    Raises:
        ConfigError: No background word is left.
    """

    affinity_steps: ClassVar[int] = 2
    texts: Tensor
    backgrounds: Tensor

    def __init__(
        self, vision_language: VisionLanguageModel, names: Sequence[str], background_words: Sequence[str]
    ) -> None:
        super().__init__()
        self._borrowed = (vision_language,)  # a tuple keeps its weights out of our state_dict
        words = usable_words(vision_language, names, background_words)
        with torch.no_grad():
            self.register_buffer("texts", vision_language.encode_classes(list(names)), persistent=False)
            self.register_buffer("backgrounds", vision_language.encode_classes(words))

    def forward(self, pixels: Tensor, labels: Tensor | None = None) -> MaskGeneratorOutput:
        """Compute CAMs [B, K, h, w] with peak 1 for present classes, 0 for absent ones.

        Args:
            pixels: [B, 3, H, W] in [0, 1], any size.
            labels: [B, K]; needed, because the present classes compete.

        Returns:
            CAMs, logits {"clip": scaled cosines [B, K]}, and the attention between patches for vision transformers.

        Raises:
            ValueError: No labels.
        """
        if labels is None:
            raise ValueError("mask generator clip was given no labels, expected [B, K]: present classes compete in it")
        (vision_language,) = self._borrowed
        cut = vision_language.cut(pixels)
        scale = vision_language.logit_scale
        cams = grad_cams(cut, self.texts, self.backgrounds, labels, scale)
        logits = scale * (cut.features.detach() @ self.texts.T)
        return MaskGeneratorOutput(cams, {"clip": logits}, cut.affinity)

    def replace_backgrounds(self, features: Tensor) -> None:
        """Let the classes compete with these features [N, D] instead."""
        self.backgrounds = features.detach().to(self.texts)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Take the backgrounds, of which there may be another number than before."""
        self.backgrounds = torch.empty_like(state_dict["backgrounds"], device=self.texts.device)
        return super().load_state_dict(state_dict, strict, assign)


@torch.enable_grad()
def grad_cams(cut: CutForward, texts: Tensor, backgrounds: Tensor, labels: Tensor, scale: float) -> Tensor:
    """Softmax Grad-CAM: ReLU(sum over channels of a_k A_k), a_k the spatial mean of d s_c / d A_k, for each class c.

    s_c is the softmax of the scaled cosines Y of the image with the texts of all present classes and with all
    backgrounds, so that a class is credited with what tells it from the others. With q the softmax over the others
    alone, d s_c = s_c (1 - s_c) (d Y_c - sum over the others of q_j d Y_j). Each map is divided by its maximum, so
    the factor in front, which vanishes where the softmax saturates, is left out.

    Args:
        cut: Forward pass of B images.
        texts: Class features [K, D].
        backgrounds: Background features [N, D].
        labels: [B, K], 0 or 1.
        scale: Factor on cosines.

    Returns:
        CAMs [B, K, h, w] in [0, 1], zero for absent classes.
    """
    present = labels > 0
    competing = torch.cat([present, present.new_ones(len(labels), len(backgrounds))], 1)
    patches = slice(-cut.grid[0] * cut.grid[1], None)
    activations = cut.activations.detach()[:, patches]
    logits = scale * (cut.features @ torch.cat([texts, backgrounds]).T)  # [B, K + N]
    cams = texts.new_zeros(len(labels), len(texts), *cut.grid)
    for class_ in present.any(0).nonzero().flatten().tolist():
        chosen = present[:, class_]
        margins = _margins(logits, competing, class_)[chosen].sum()
        (gradient,) = torch.autograd.grad(margins, cut.activations, retain_graph=True)
        weights = gradient[chosen, patches].mean(1, keepdim=True)  # [P, 1, C]
        maps = F.relu((weights * activations[chosen]).sum(-1))  # [P, hw]
        maps = maps / maps.amax(1, keepdim=True).clamp(min=torch.finfo(maps.dtype).tiny)
        cams[chosen, class_] = maps.unflatten(1, cut.grid).to(cams.dtype)
    return cams


def _margins(logits: Tensor, competing: Tensor, class_: int) -> Tensor:
    """Logit of a class minus the mean of those that compete with it, weighted by their softmax: [B]."""
    others = competing.clone()
    others[:, class_] = False
    weights = logits.detach().masked_fill(~others, float("-inf")).softmax(1)
    return logits[:, class_] - (weights * logits).sum(1)


def usable_words(vision_language: VisionLanguageModel, names: Sequence[str], words: Sequence[str]) -> list[str]:
    """Return the background words that are no class name and that the model's tokenizer knows.

    Raises:
        ConfigError: None is left.
    """
    taken = {name.casefold() for name in names}
    usable = [word for word in dict.fromkeys(words) if word.casefold() not in taken and vision_language.knows(word)]
    if not usable:
        raise ConfigError(
            f"mask_generator.background_words: of {', '.join(words) or 'none'} the vision-language model knows no word "
            "that is not a class: give words for backgrounds that it knows"
        )
    return usable
