"""Multi-scale, mirrored inference of class activation maps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semples.method.affinity import spread_cams
from semples.method.masks import INFERENCE_EPS, merge_multiscale_cams, upsample_cams
from semples.models.generators.base import MaskGeneratorOutput


def quantize(maps: Tensor) -> Tensor:
    """Convert maps in [0, 1] to uint8 on the CPU, 255 for 1."""
    return (maps * 255).round().to(torch.uint8).cpu()


@torch.no_grad()
def tagged_cams(
    generator: nn.Module,
    pixels: Tensor,
    tags: Sequence[Sequence[int]],
    num_classes: int,
    scales: Sequence[float],
    flip: bool,
    affinity_steps: int = 0,
    affinity_threshold: float = 0.4,
) -> list[Tensor]:
    """Sum the CAMs of tagged classes over scales and mirror images, then min-max normalize each map.

    Args:
        generator: The mask generator.
        pixels: Images [B, 3, H, W] in [0, 1].
        tags: 0-based class indices of each image.
        num_classes: K.
        scales: Factors on H and W.
        flip: Add the mirrored image at each scale.
        affinity_steps: Steps of :func:`semples.method.affinity.spread_cams` on the maps of each forward pass.
        affinity_threshold: Threshold of :func:`semples.method.affinity.spread_cams`.

    Returns:
        The maps [P, H, W] in [0, 1] of the P tags of each image, in their order.
    """
    labels = image_labels(tags, num_classes).to(pixels.device)
    counts = [len(image_tags) for image_tags in tags]
    # Only the tagged maps are upsampled: P pairs (image, class) instead of B x K maps.
    image_index = torch.arange(len(tags)).repeat_interleave(torch.tensor(counts)).to(pixels.device)
    class_index = torch.tensor(
        [tag for image_tags in tags for tag in image_tags], dtype=torch.int64, device=pixels.device
    )

    def cams_of(images: Tensor) -> Tensor:
        cams = final_cams(generator(images, labels), affinity_steps, affinity_threshold)
        return cams[image_index, class_index][:, None]  # [P, 1, h, w]; P may be 0

    size = (pixels.shape[-2], pixels.shape[-1])
    merged = merged_cams(cams_of, (_rescale(pixels, size, scale) for scale in scales), size, flip)  # [P, 1, H, W]
    return list(merged[:, 0].split(counts))


def _rescale(pixels: Tensor, size: tuple[int, int], scale: float) -> Tensor:
    if scale == 1:
        return pixels
    target = [round(side * scale) for side in size]
    return F.interpolate(pixels, target, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)


@torch.no_grad()
def merged_cams(
    cams_of: Callable[[Tensor], Tensor],
    images: Iterable[Tensor],
    size: tuple[int, int],
    flip: bool,
    eps: float = INFERENCE_EPS,
) -> Tensor:
    """Sum the CAMs of images at several sizes and of their mirror images, then min-max normalize each map.

    Args:
        cams_of: Computes the CAMs [B, K, ., .] of images [B, 3, h, w].
        images: The same images in [0, 1] at each size: [B, 3, h, w].
        size: Height and width (H, W) of the result.
        flip: Add the mirrored image at each size.
        eps: Small number that keeps the min-max normalization of a flat map finite.

    Returns:
        Maps [B, K, H, W] in [0, 1].
    """

    def cams_of_each_view() -> Iterator[Tensor]:
        for scaled in images:
            yield upsample_cams(cams_of(scaled), size, align_corners=False)
            if flip:
                yield upsample_cams(cams_of(scaled.flip(-1)), size, align_corners=False).flip(-1)

    return merge_multiscale_cams(cams_of_each_view(), eps)


def final_cams(output: MaskGeneratorOutput, affinity_steps: int, affinity_threshold: float) -> Tensor:
    """Return the CAMs [B, K, h, w] of an output, spread by its affinity if it has one and there are steps."""
    if output.affinity is None or affinity_steps == 0:
        return output.cams
    return spread_cams(output.cams, output.affinity, affinity_steps, affinity_threshold)


def image_labels(tags: Sequence[Sequence[int]], num_classes: int) -> Tensor:
    """Return image-level labels [B, K], float32, 1 for the given class indices of each image and else 0."""
    labels = torch.zeros(len(tags), num_classes)
    for row, image_tags in zip(labels, tags, strict=True):
        row[list(image_tags)] = 1
    return labels
