"""Training crops and whole images as tensors, and the cache of decoded images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate, get_worker_info

from semples.data.images import read_image
from semples.records import Sample

if TYPE_CHECKING:
    from semples.data.augmentation import Augmentation

Box = tuple[float, float, float, float]


class ImageCache:
    """Keeps decoded images up to a number of megabytes; the others are decoded each time.

    Worker processes of a loader keep nothing, as they end with its epoch: they decode every image.

    Args:
        samples: The images.
        megabytes: The limit.
        read: Returns the array of a sample; None reads its photograph as uint8 [H, W, 3].
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        megabytes: int = 1024,
        read: Callable[[Sample], NDArray[np.uint8]] | None = None,
    ) -> None:
        self.samples, self.megabytes = samples, megabytes
        self._read = read or _read_photograph
        self._bytes_left = megabytes * 2**20
        self._cached: dict[int, NDArray[np.uint8]] = {}

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """Return the array of image number ``index``."""
        if index in self._cached:
            return self._cached[index]
        image = self._read(self.samples[index])
        if image.nbytes <= self._bytes_left and get_worker_info() is None:
            self._bytes_left -= image.nbytes
            self._cached[index] = image
        return image


def _read_photograph(sample: Sample) -> NDArray[np.uint8]:
    return read_image(sample.path)


class TrainingCrops(Dataset[dict[str, Tensor]]):
    """Random square crops with image-level labels; the same seed, epoch and index give the same crop.

    Items: ``pixels`` float32 [3, S, S] in [0, 1], ``labels`` float32 [K] in {0, 1}, ``index`` int64 []
    (position in ``ids``).

    Args:
        images: The decoded images of the training split.
        num_classes: K.
        size: S, side of the crops in pixels.
        crop_scale: Smallest share of the image's area that a crop keeps; 1 takes the whole image, squeezed.
        augment: False returns whole images, not mirrored.
        augmentation: Applied after cropping and mirroring; None for no augmentation.
        seed: Seed of the crops.
    """

    def __init__(
        self,
        images: ImageCache,
        num_classes: int,
        size: int,
        *,
        crop_scale: float,
        augment: bool = True,
        augmentation: Augmentation | None = None,
        seed: int = 0,
    ) -> None:
        self.images = images
        self.num_classes = num_classes
        self.size = size
        self.crop_scale = crop_scale
        self.augment = augment
        self.augmentation = augmentation
        self.seed = seed
        self.epoch = 0
        self.ids = [sample.id for sample in images.samples]

    def __len__(self) -> int:
        return len(self.images.samples)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        image = self.images[index]
        rng = np.random.default_rng((self.seed, self.epoch, index))
        if self.augment:
            crop = resize(image, self.size, random_box(rng, image.shape[0], image.shape[1], self.crop_scale))
            crop = crop[:, ::-1] if rng.random() < 0.5 else crop
        else:
            crop = resize(image, self.size)
        pixels = to_pixels(crop)
        if self.augmentation is not None:
            pixels = self.augmentation(pixels, rng).pixels
        labels = torch.zeros(self.num_classes)
        labels[list(self.images.samples[index].tags)] = 1
        return {"pixels": pixels, "labels": labels, "index": torch.tensor(index)}


def build_augmentation(
    randaugment_operations: int = 0,
    randaugment_magnitude: int = 9,
    color_jitter: float = 0.0,
    random_erasing: float = 0.0,
) -> Augmentation | None:
    """Build an :class:`semples.data.augmentation.Augmentation`, or None if all of it is off."""
    if not (randaugment_operations or color_jitter or random_erasing):
        return None
    from semples.data.augmentation import Augmentation  # its library takes a second to import

    return Augmentation(randaugment_operations, randaugment_magnitude, color_jitter, random_erasing)


def random_box(rng: np.random.Generator, height: int, width: int, smallest: float) -> Box:
    """Draw a crop (left, top, right, bottom) with ``smallest`` to 1 of the area and 3:4 to 4:3 of the aspect ratio."""
    share = rng.uniform(smallest, 1.0)
    aspect = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3))) if smallest < 1 else 1.0
    crop_height = min(height, height * np.sqrt(share / aspect))
    crop_width = min(width, width * np.sqrt(share * aspect))
    top, left = rng.uniform(0, height - crop_height), rng.uniform(0, width - crop_width)
    return left, top, left + crop_width, top + crop_height


def resize(image: NDArray[np.uint8], size: int, box: Box | None = None) -> NDArray[np.uint8]:
    """Crop uint8 [H, W, 3] to the box and resize to [size, size, 3], bilinear with antialiasing."""
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR, box=box))


def to_pixels(image: NDArray[np.uint8]) -> Tensor:
    """Turn uint8 [H, W, 3] into float32 [3, H, W] in [0, 1]."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


def training_loader(
    dataset: Dataset[Any],
    batch_size: int,
    seed: int,
    workers: int = 0,
    collate: Callable[[Any], Any] = default_collate,
) -> DataLoader[Any]:
    """Build a loader that shuffles reproducibly; the last batch of an epoch may be smaller."""
    return DataLoader(
        dataset,
        batch_size=batch_size,
        shuffle=True,
        generator=torch.Generator().manual_seed(seed),
        num_workers=workers,
        persistent_workers=False,
        collate_fn=collate,
    )
