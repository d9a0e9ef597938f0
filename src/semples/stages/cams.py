"""Multi-scale, mirrored inference of class activation maps, and the files that hold them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.numpy import load_file
from torch import Tensor, nn

from semples.data.loading import to_pixels
from semples.errors import RunError
from semples.masks import merge_multiscale_cams, upsample_cams
from semples.records import Sample
from semples.stages.run import Run, save_tensors

BATCH_PIXELS = 2**18
"""Images of one size are batched up to about this many pixels."""


def write_cams(run: Run, stage: str, generator: nn.Module) -> None:
    """Write ``cams/ID.safetensors`` for every training image.

    Each file has ``cams`` uint8 [P, H, W], the maps of the P tagged classes at the image's own size with 255 for 1,
    and ``classes`` int64 [P].
    """
    generator.eval()
    folder = run.folder(stage) / "cams"
    batches = list(size_batches(run.dataset.train))
    for indices in run.log.track(batches, f"{stage} CAMs"):
        pixels = torch.stack([to_pixels(run.train_images[i]) for i in indices]).to(run.device)
        cams = multiscale_cams(generator, pixels, run.config.cams.scales, run.config.cams.flip)
        for index, maps in zip(indices, cams.cpu(), strict=True):
            sample = run.dataset.train[index]
            classes = torch.tensor(sample.tags, dtype=torch.int64)
            quantized = (maps[classes] * 255).round().to(torch.uint8)
            save_tensors(folder / f"{sample.id}.safetensors", {"cams": quantized, "classes": classes})


@torch.no_grad()
def multiscale_cams(generator: nn.Module, pixels: Tensor, scales: Sequence[float], flip: bool) -> Tensor:
    """Sum CAMs over scales and mirror images, then min-max each map.

    Args:
        generator: The mask generator.
        pixels: Images [B, 3, H, W] in [0, 1].
        scales: Factors on H and W.
        flip: Add the mirrored image at each scale.

    Returns:
        Maps [B, K, H, W] in [0, 1].
    """
    size = (pixels.shape[-2], pixels.shape[-1])

    def runs() -> Iterator[Tensor]:
        for scale in scales:
            scaled = pixels
            if scale != 1:
                target = [round(side * scale) for side in size]
                scaled = F.interpolate(pixels, target, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
            yield upsample_cams(generator(scaled).cams, size, align_corners=False)
            if flip:
                yield upsample_cams(generator(scaled.flip(-1)).cams, size, align_corners=False).flip(-1)

    return merge_multiscale_cams(runs())


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


def read_cams(folder: Path, sample: Sample) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read the maps [P, H, W] and classes [P] that :func:`write_cams` wrote for a sample.

    Raises:
        RunError: The file is missing.
    """
    path = folder / "cams" / f"{sample.id}.safetensors"
    if not path.is_file():
        raise RunError(f"{path} is not there: run again with --force {folder.name.partition('-')[2]}")
    tensors = load_file(path)
    return tensors["cams"], tensors["classes"]
