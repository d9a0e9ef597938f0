"""Training crops with masks for the segmentation network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from semples.data.crops import ImageCache, to_pixels
from semples.records import IGNORE_INDEX, Sample

if TYPE_CHECKING:
    from semples.data.augmentation import Augmentation

MaskReader = Callable[[Sample], NDArray[np.uint8]]
"""Sample -> its mask or confidence, uint8 [H, W]."""


class MaskedCrops(Dataset[dict[str, Tensor]]):
    """Random square crops with masks: scaled, cropped, mirrored; reproducible by seed, epoch and index.

    Items: ``pixels`` float32 [3, S, S] in [0, 1], ``masks`` int64 [S, S] with 255 outside the image, ``index``
    int64 [] (position in ``ids``); with confidences also ``weights`` float32 [S, S] in [0, 1], 0 outside.

    Args:
        images: The decoded images.
        read: Returns the mask uint8 [H, W] of a sample.
        size: S, side of the crops in pixels.
        scales: Smallest and largest random scale, relative to the scale at which the image's short side is S.
        seed: Seed of the crops.
        augmentation: Applied to the colors afterwards; None for no augmentation.
        read_weights: Returns the confidence uint8 [H, W] of a sample's mask, 255 for 1; None for no weights.
    """

    def __init__(
        self,
        images: ImageCache,
        read: MaskReader,
        size: int,
        scales: tuple[float, float],
        seed: int,
        augmentation: Augmentation | None = None,
        read_weights: MaskReader | None = None,
    ) -> None:
        self.images, self.size, self.scales, self.seed = images, size, scales, seed
        self.augmentation = augmentation
        self.epoch = 0
        self.ids = [sample.id for sample in images.samples]
        readers = (read,) if read_weights is None else (read, read_weights)
        self._maps = [ImageCache(images.samples, images.megabytes, reader) for reader in readers]

    def __len__(self) -> int:
        return len(self.images.samples)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        image = self.images[index]
        rng = np.random.default_rng((self.seed, self.epoch, index))
        scale = rng.uniform(*self.scales) * self.size / min(image.shape[:2])
        crop, mask, *weights = random_crop(rng, image, [maps[index] for maps in self._maps], self.size, scale)
        if rng.random() < 0.5:
            crop, mask, *weights = (layer[:, ::-1] for layer in (crop, mask, *weights))
        pixels = to_pixels(crop)
        if self.augmentation is not None:
            pixels = self.augmentation(pixels, rng).pixels
        masks = torch.from_numpy(mask.astype(np.int64))
        item = {"pixels": pixels, "masks": masks, "index": torch.tensor(index)}
        return {**item, "weights": torch.from_numpy(weights[0].astype(np.float32)) / 255} if weights else item


def random_crop(
    rng: np.random.Generator, image: NDArray[np.uint8], maps: Sequence[NDArray[np.uint8]], size: int, scale: float
) -> list[NDArray[np.uint8]]:
    """Scale an image, its mask and possibly its confidence, and cut the same square of side ``size`` out of each.

    Outside the image, the crop is mid-gray, ignored and of weight 0.
    """
    # The corner of the square in the scaled image; it is negative where the image is smaller than the square.
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    top = int(rng.integers(min(0, height - size), max(0, height - size) + 1))
    left = int(rng.integers(min(0, width - size), max(0, width - size) + 1))
    rows = slice(max(0, top), min(height, top + size))
    columns = slice(max(0, left), min(width, left + size))
    # Crop and scale in one step: ``box`` is the visible part in pixels of the original image.
    box = (columns.start / scale, rows.start / scale, columns.stop / scale, rows.stop / scale)
    box = (box[0], box[1], min(box[2], image.shape[1]), min(box[3], image.shape[0]))
    inner = (columns.stop - columns.start, rows.stop - rows.start)
    target = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
    layers = []
    for layer, outside in zip((image, *maps), (128, IGNORE_INDEX, 0), strict=False):
        resampling = Image.Resampling.NEAREST if outside == IGNORE_INDEX else Image.Resampling.BILINEAR
        crop = np.full((size, size, *layer.shape[2:]), outside, np.uint8)
        crop[target] = np.asarray(Image.fromarray(layer).resize(inner, resampling, box=box))
        layers.append(crop)
    return layers
