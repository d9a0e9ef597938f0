"""Multi-scale, mirrored inference of class activation maps, and the files that hold them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file
from torch import Tensor, nn

from semples.data.crops import to_pixels
from semples.errors import ResultError
from semples.files import Writer
from semples.method.affinity import spread_cams
from semples.method.masks import INFERENCE_EPS, merge_multiscale_cams, upsample_cams
from semples.models.generators.base import MaskGeneratorOutput
from semples.parallel.processes import shard
from semples.records import Sample
from semples.runtime.run import Run, save_tensors

BATCH_PIXELS = 2**18
"""Images of one size are batched up to about this many pixels."""


def write_cams(run: Run, stage: str, generator: nn.Module) -> None:
    """Write ``cams/ID.safetensors`` for every training image; batches whose files are all there are passed over.

    Every process does its share of the batches.

    Each file has ``cams`` uint8 [P, H, W], the maps of the P tagged classes at the image's own size with 255 for 1,
    and ``classes`` int64 [P].
    """
    generator.eval()
    folder = run.folder(stage) / "cams"
    batches = unfinished(shard(list(size_batches(run.dataset.train))), run.dataset.train, folder, ".safetensors")
    settings = run.config.cams
    affinity = (run.affinity_steps, run.config.mask_generator.affinity_threshold)
    with Writer() as writer:
        for indices in run.log.track(batches, f"{stage} CAMs"):
            samples = [run.dataset.train[i] for i in indices]
            tags = [sample.tags for sample in samples]
            pixels = torch.stack([to_pixels(run.train_images[i]) for i in indices]).to(run.device)
            with run.accelerator.autocast():
                found = tagged_cams(generator, pixels, tags, run.num_classes, settings.scales, settings.flip, *affinity)
            for sample, maps in zip(samples, found, strict=True):
                tensors = {"cams": to_bytes(maps), "classes": torch.tensor(sample.tags, dtype=torch.int64)}
                writer.add(save_tensors, folder / f"{sample.id}.safetensors", tensors)


def to_bytes(maps: Tensor) -> Tensor:
    """Turn maps in [0, 1] into uint8 with 255 for 1, on the processor."""
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
    """Maps of the tagged classes alone: those of :func:`multiscale_cams`, without resizing what nobody reads.

    Args:
        generator: The mask generator.
        pixels: Images [B, 3, H, W] in [0, 1].
        tags: The 0-based class indices of each.
        num_classes: K.
        scales: Factors on H and W.
        flip: Add the mirrored image at each scale.
        affinity_steps: Steps of :func:`semples.method.masks.spread_cams` on each run's maps.
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


@torch.no_grad()
def multiscale_cams(
    generator: nn.Module,
    pixels: Tensor,
    scales: Sequence[float],
    flip: bool,
    labels: Tensor | None = None,
    affinity_steps: int = 0,
    affinity_threshold: float = 0.4,
) -> Tensor:
    """Sum CAMs over scales and mirror images, then min-max each map.

    Args:
        generator: The mask generator.
        pixels: Images [B, 3, H, W] in [0, 1].
        scales: Factors on H and W.
        flip: Add the mirrored image at each scale.
        labels: Image-level labels [B, K], for generators that need them.
        affinity_steps: Steps of :func:`semples.method.masks.spread_cams` on each run's maps.
        affinity_threshold: Its threshold.

    Returns:
        Maps [B, K, H, W] in [0, 1].
    """
    size = (pixels.shape[-2], pixels.shape[-1])

    def cams_of(images: Tensor) -> Tensor:
        return final_cams(generator(images, labels), affinity_steps, affinity_threshold)

    return merged_cams(cams_of, (_rescale(pixels, size, scale) for scale in scales), size, flip)


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


def size_batches(samples: Sequence[Sample], short_side: int = 0) -> Iterator[list[int]]:
    """Group indices of samples of equal size into batches of bounded memory.

    Args:
        samples: What to group.
        short_side: Length that the short side is scaled to before the model sees the image; 0 leaves it.
    """
    by_size: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, sample in enumerate(samples):
        by_size[sample.size].append(index)
    for (height, width), indices in sorted(by_size.items()):
        scale = max(1.0, short_side / min(height, width))
        most = max(1, int(BATCH_PIXELS / (height * width * scale**2)))
        for start in range(0, len(indices), most):
            yield indices[start : start + most]


def unfinished(batches: Iterable[list[int]], samples: Sequence[Sample], folder: Path, suffix: str) -> list[list[int]]:
    """Batches of indices of samples without those whose files ``ID.suffix`` are all in the folder already.

    A batch is done again as a whole, as its size may change the last bits of a result.
    """

    def is_done(batch: list[int]) -> bool:
        return all((folder / f"{samples[index].id}{suffix}").is_file() for index in batch)

    return [batch for batch in batches if not is_done(batch)]


def read_cams(folder: Path, sample: Sample) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read the maps [P, H, W] and classes [P] that :func:`write_cams` wrote for a sample.

    Raises:
        ResultError: The file is missing, damaged, or not that of this sample.
    """
    path = folder / "cams" / f"{sample.id}.safetensors"
    try:
        tensors = load_file(path)
        return _checked_cams(tensors["cams"], tensors["classes"], sample)
    except (FileNotFoundError, SafetensorError, KeyError, ValueError, TypeError) as error:
        problem = "not there" if isinstance(error, FileNotFoundError) else f"damaged ({error})"
        raise ResultError(f"{path} is {problem}: run again with --force {folder.name.partition('-')[2]}") from error


def _checked_cams(
    cams: NDArray[Any], classes: NDArray[Any], sample: Sample
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Raise ValueError unless the maps and classes are those of the sample's tags, at its size."""
    shape = (len(sample.tags), *sample.size)
    if cams.dtype != np.uint8 or cams.shape != shape:
        raise ValueError(f"cams: came {cams.dtype} {list(cams.shape)}, expected uint8 {list(shape)}")
    if classes.tolist() != list(sample.tags):
        raise ValueError(f"classes: came {classes.tolist()}, expected {list(sample.tags)}, the tags of the image")
    return cams, classes
