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
    """Turn maps in [0, 1] into uint8 with 255 for 1, on the CPU."""
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
    """Sum CAMs over scales and mirror images, then min-max each map; of the tagged classes alone.

    Args:
        generator: The mask generator.
        pixels: Images [B, 3, H, W] in [0, 1].
        tags: The 0-based class indices of each.
        num_classes: K.
        scales: Factors on H and W.
        flip: Add the mirrored image at each scale.
        affinity_steps: Steps of :func:`semples.method.affinity.spread_cams` on each run's maps.
        affinity_threshold: Its threshold.

    Returns:
        For each image the maps [P, H, W] in [0, 1] of its P tags, in their order.
    """
    labels = image_labels(tags, num_classes).to(pixels.device)
    counts = [len(own) for own in tags]
    image_index = torch.arange(len(tags)).repeat_interleave(torch.tensor(counts)).to(pixels.device)
    class_index = torch.tensor([tag for own in tags for tag in own], dtype=torch.int64, device=pixels.device)

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
    """Sum the CAMs of the same images at several sizes and of their mirror images, then min-max each map.

    Args:
        cams_of: Gives the CAMs [B, K, ., .] of images.
        images: Pixels [B, 3, h, w] in [0, 1], once for each size h x w.
        size: Height and width (H, W) of the result.
        flip: Add the mirrored image at each size.
        eps: That of the min-max.

    Returns:
        Maps [B, K, H, W] in [0, 1].
    """

    def runs() -> Iterator[Tensor]:
        for scaled in images:
            yield upsample_cams(cams_of(scaled), size, align_corners=False)
            if flip:
                yield upsample_cams(cams_of(scaled.flip(-1)), size, align_corners=False).flip(-1)

    return merge_multiscale_cams(runs(), eps)


def final_cams(output: MaskGeneratorOutput, affinity_steps: int, affinity_threshold: float) -> Tensor:
    """CAMs [B, K, h, w] of an output, spread by its affinity where it has one and steps are asked for."""
    if output.affinity is None or affinity_steps == 0:
        return output.cams
    return spread_cams(output.cams, output.affinity, affinity_steps, affinity_threshold)


def image_labels(tags: Sequence[Sequence[int]], num_classes: int) -> Tensor:
    """Image-level labels [B, K], float32, 0 or 1, of the class indices of B images."""
    labels = torch.zeros(len(tags), num_classes)
    for row, own in zip(labels, tags, strict=True):
        row[list(own)] = 1
    return labels
