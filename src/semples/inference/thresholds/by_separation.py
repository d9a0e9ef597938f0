"""A criterion that asks the places of the image, not the values of the CAMs, what belongs together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from semples.inference.thresholds.base import Criterion
from semples.inference.thresholds.image_maps import ImageMaps
from semples.method.thresholds import CANDIDATES, place_costs
from semples.models.vision_language.model import VisionLanguageModel
from semples.parallel.processes import unshard

LARGEST = 2
"""Images are reduced to this multiple of the model's own image size, by their longer side."""


class SeparationCriterion(Criterion):
    """Prefers the cut whose two sides look least alike to the vision-language model, place by place.

    It needs no prompts and no texts, so that neither a prompt that describes the class itself nor the softness of the
    maps can mislead it.
    """

    name: ClassVar[str] = "separation"

    def __init__(self, vision_language: VisionLanguageModel, device: torch.device) -> None:
        super().__init__(device)
        self.vision_language = vision_language

    @torch.no_grad()
    def costs(self, maps: Iterable[ImageMaps]) -> list[float]:
        """Return the mean cost of each candidate over all (image, class) pairs."""
        own = [place_costs(self._places(image.read_image()), image.cams).cpu() for image in maps if len(image.cams)]
        costs = [pair for pairs in unshard(own) for pair in pairs]
        return list(torch.stack(costs).mean(0).tolist()) if costs else [0.0] * len(CANDIDATES)

    def _places(self, image: Tensor) -> Tensor:
        """Encode the places [h, w, D] of an image [3, H, W], L2-normalized."""
        pixels, largest = image[None], LARGEST * self.vision_language.image_size
        if max(image.shape[-2:]) > largest:
            scale = largest / max(image.shape[-2:])
            size = [max(1, round(side * scale)) for side in image.shape[-2:]]
            pixels = F.interpolate(pixels, size, mode="bilinear", align_corners=False, antialias=True)
        return F.normalize(self.vision_language.dense_features(pixels)[0].float(), dim=-1)
