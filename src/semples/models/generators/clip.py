"""CAMs from the vision-language model itself: softmax Grad-CAM of class texts against background texts.

Written after the formulas of CLIP-ES (arXiv 2212.09506). Shapes: B images, K classes, N backgrounds, T tokens, C
channels, D joint space, h x w patches.
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
    """Softmax Grad-CAM of the present classes' texts against background texts; nothing in it is trained.

    Args:
        vision_language: The frozen model; shared, and not part of this module's state dict.
        names: K class names, worded for the model.
        background_words: Words for things that are never objects. Class names among them are dropped, and so are
            words that the model's tokenizer does not know.

    Raises:
        ConfigError: No background word is left.
    """

    needs_vision_language: ClassVar[bool] = True
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
        """Compute CAMs [B, K, h, w] with a peak of 1 for present classes, 0 everywhere for absent ones.

        Args:
            pixels: [B, 3, H, W] in [0, 1], any size.
            labels: [B, K]; required, because the present classes compete.

        Returns:
            CAMs, logits {"clip": scaled cosines [B, K]}, and the attention between patches for vision transformers.

        Raises:
            ValueError: No labels.
        """
        if labels is None:
            raise ValueError(
                "mask generator clip: labels is None, expected [B, K]; give them, because the present classes compete"
            )
        (vision_language,) = self._borrowed
        cut = vision_language.cut(pixels)
        scale = vision_language.logit_scale
        cams = grad_cams(cut, self.texts, self.backgrounds, labels, scale)
        logits = scale * (cut.features.detach() @ self.texts.T)
        return MaskGeneratorOutput(cams, {"clip": logits}, cut.affinity)

    def replace_backgrounds(self, features: Tensor) -> None:
        """Let the classes compete with these features [N, D] from now on."""
        self.backgrounds = features.detach().to(self.texts)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load the backgrounds, whose number may differ from the current one."""
        self.backgrounds = torch.empty_like(state_dict["backgrounds"], device=self.texts.device)
        return super().load_state_dict(state_dict, strict, assign)


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


def usable_words(vision_language: VisionLanguageModel, names: Sequence[str], words: Sequence[str]) -> list[str]:
    """Select the background words that are not a class name and that the model's tokenizer knows.

    Raises:
        ConfigError: No word is left.
    """
    taken = {name.casefold() for name in names}
    usable = [word for word in dict.fromkeys(words) if word.casefold() not in taken and vision_language.knows(word)]
    if not usable:
        raise ConfigError(
            f"mask_generator.background_words: none of {list(words)} is both known to the vision-language model and "
            "not a class; give words for backgrounds that it knows"
        )
    return usable
