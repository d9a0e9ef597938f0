"""Draw a corpus once, in parallel, and read it again."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from corpus import Captioned, draw_captioned


def read_or_draw(cache: Path, scenes: int, size: int, first_seed: int) -> Captioned:
    """Scenes with seeds first_seed, first_seed + 1, ...; kept in ``cache`` as .npz."""
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


def random_shift(images: Tensor, generator: torch.Generator, most: int = 8) -> Tensor:
    """Mirror half of uint8 [B, H, W, 3] and shift all by up to ``most`` pixels; float [B, 3, H, W] in [0, 1]."""
    pixels = images.permute(0, 3, 1, 2).float() / 255
    mirrored = torch.rand(len(pixels), generator=generator) < 0.5
    pixels = torch.where(mirrored[:, None, None, None], pixels.flip(-1), pixels)
    padded = torch.nn.functional.pad(pixels, (most,) * 4, mode="reflect")
    down, right = torch.randint(0, 2 * most + 1, (2,), generator=generator).tolist()
    height, width = pixels.shape[-2:]
    return padded[:, :, down : down + height, right : right + width]
