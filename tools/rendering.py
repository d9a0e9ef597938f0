"""Drawing a corpus in parallel, caching it, and converting its images to pixels."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from corpus import Captioned, draw_captioned


def read_or_draw(cache: Path, scenes: int, size: int, first_seed: int) -> Captioned:
    """Return scenes with the seeds first_seed, first_seed + 1, ..., cached in a folder as .npz."""
    path = cache / f"{first_seed}-{scenes}-{size}.npz"
    if not path.is_file():
        with ProcessPoolExecutor(2) as pool:
            seeds = range(first_seed, first_seed + scenes)
            drawn = list(pool.map(partial(draw_captioned, size=size), seeds, chunksize=250))
        images, placements, styles = zip(*drawn, strict=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, images=np.stack(images), placements=np.stack(placements), style=np.array(styles, np.int8))
    with np.load(path) as stored:
        return Captioned(stored["images"], stored["placements"], stored["style"])


def as_pixels(images: NDArray[np.uint8]) -> Tensor:
    """Convert images uint8 [B, H, W, 3] to pixels [B, 3, H, W] in [0, 1]."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


def resize(pixels: Tensor, size: int) -> Tensor:
    """Resize pixels [B, 3, H, W] to [B, 3, size, size], without aliasing."""
    return F.interpolate(pixels, (size, size), mode="bilinear", align_corners=False, antialias=True)


def random_shift(images: NDArray[np.uint8], generator: torch.Generator, most: int = 8) -> Tensor:
    """Mirror half of the images uint8 [B, H, W, 3] and shift all by up to ``most`` pixels, the same for all.

    Returns:
        Pixels [B, 3, H, W] in [0, 1].
    """
    pixels = as_pixels(images)
    mirrored = torch.rand(len(pixels), generator=generator) < 0.5
    pixels = torch.where(mirrored[:, None, None, None], pixels.flip(-1), pixels)
    padded = F.pad(pixels, (most,) * 4, mode="reflect")
    down, right = torch.randint(0, 2 * most + 1, (2,), generator=generator).tolist()
    height, width = pixels.shape[-2:]
    return padded[:, :, down : down + height, right : right + width]
