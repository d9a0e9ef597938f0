"""Each optimization by itself: the form of the package and the straightforward one, all else being equal."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from naive import VisionLanguage
from semples.inference.cams import tagged_cams
from semples.models.generators.base import MaskGeneratorOutput
from sizes import Sizes, build_vision_language, smooth

Results = dict[str, Tensor]
Work = Callable[[], Results]
REGIONS = 8


def texts_cut_at_their_end(sizes: Sizes, form: str) -> Work:
    """Compute features of the class texts; naive: padded to the model's length."""
    names = list(sizes.names)
    encode = VisionLanguage(sizes).encode_texts if form == "naive" else build_vision_language(sizes).encode_classes

    @torch.no_grad()
    def work() -> Results:
        return {"features": encode(names)}

    return work


def prompts_cut_at_their_end(sizes: Sizes, form: str) -> Work:
    """Compute features of prompts and the gradient of their vectors; naive: padded to the model's length."""
    model = VisionLanguage(sizes) if form == "naive" else build_vision_language(sizes)
    model.model.requires_grad_(False)
    width = model.model.config.text_config.hidden_size
    start = 0.02 * torch.randn(sizes.classes, sizes.prompt_length, width, generator=torch.Generator().manual_seed(4))
    vectors = nn.Parameter(start)

    def work() -> Results:
        vectors.grad = None
        features = model.encode_prompts(vectors)
        features[:, ::2].sum().backward()
        assert vectors.grad is not None
        return {"features": features.detach(), "gradient": vectors.grad}

    return work


def regions_in_one_call(sizes: Sizes, form: str) -> Work:
    """Compute features of regions and the gradient of their pixels; naive: one region at a time."""
    model, pixels = build_vision_language(sizes), _regions(sizes)

    def work() -> Results:
        calls = pixels.split(1) if form == "naive" else (pixels,)
        return _features_and_gradient(torch.cat([model.encode_images(part) for part in calls]), pixels)

    return work


def frozen_weights(sizes: Sizes, form: str) -> Work:
    """Compute the same in one call; naive: gradients of the weights as well."""
    model, pixels = build_vision_language(sizes), _regions(sizes)
    model.model.requires_grad_(form == "naive")

    def work() -> Results:
        model.model.zero_grad()
        return _features_and_gradient(model.encode_images(pixels), pixels)

    return work


def maps_of_tags_alone(sizes: Sizes, form: str) -> Work:
    """Compute multi-scale maps at the size of the images, without the network; naive: for all classes."""
    pixels = smooth(torch.Generator().manual_seed(6), 2, sizes.photographs[-1])
    tags = ((0, sizes.classes - 1), (sizes.classes // 2,))
    generator = _Patches(sizes.classes)

    def work() -> Results:
        if form == "package":
            return {"cams": torch.cat(tagged_cams(generator, pixels, tags, sizes.classes, (1.0, 1.2), True))}
        every = [range(sizes.classes)] * len(tags)
        maps = tagged_cams(generator, pixels, every, sizes.classes, (1.0, 1.2), True)
        return {"cams": torch.cat([all_maps[list(tagged)] for all_maps, tagged in zip(maps, tags, strict=True)])}

    return work


OPTIMIZATIONS: dict[str, Callable[[Sizes, str], Work]] = {
    "texts-cut": texts_cut_at_their_end,
    "prompts-cut": prompts_cut_at_their_end,
    "regions-in-one-call": regions_in_one_call,
    "frozen-weights": frozen_weights,
    "maps-of-tags-alone": maps_of_tags_alone,
}
"""Name -> function that builds one form of it, "package" or "naive"."""


class _Patches(nn.Module):
    """A generator that costs next to nothing: mean brightness of patches, to a different power for each class."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.powers = 0.5 + torch.arange(classes).view(-1, 1, 1) / classes

    def forward(self, pixels: Tensor, labels: Tensor | None = None) -> MaskGeneratorOutput:  # noqa: ARG002
        return MaskGeneratorOutput(nn.functional.avg_pool2d(pixels, 16).mean(1, keepdim=True) ** self.powers, {})


def _regions(sizes: Sizes) -> Tensor:
    return smooth(torch.Generator().manual_seed(7), REGIONS, (sizes.side, sizes.side)).requires_grad_()


def _features_and_gradient(features: Tensor, pixels: Tensor) -> Results:
    pixels.grad = None
    features[:, ::2].sum().backward()
    assert pixels.grad is not None
    return {"features": features.detach(), "gradient": pixels.grad}
