"""Stage 5: train a segmentation network on masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor
from torch.utils.data import Dataset

from semples.config import SegmentConfig
from semples.data.crops import ImageCache, to_pixels, training_loader
from semples.data.images import read_confidence, read_mask
from semples.data.truth import read_truth
from semples.errors import RunError
from semples.files import writing
from semples.inference.label_maps import predict_samples
from semples.method.losses import pixel_cross_entropy
from semples.models.segmentation import (
    Inference,
    SegmentationNetwork,
    build_segmentation_network,
    has_weights,
)
from semples.parallel.processes import is_main_process
from semples.records import IGNORE_INDEX, Sample
from semples.runtime.run import Run, fitting, result_of
from semples.stages.pseudo_masks import confidence_folder
from semples.training.devices import set_seed
from semples.training.loop import StepResult, fit

if TYPE_CHECKING:
    from semples.data.augmentation import Augmentation

MaskReader = Callable[[Sample], NDArray[np.uint8]]


class MaskedCrops(Dataset[dict[str, Tensor]]):
    """Random square crops with masks: scaled, cropped, mirrored; reproducible by seed, epoch and index.

    Items: ``pixels`` float32 [3, S, S] in [0, 1], ``masks`` int64 [S, S] with 255 outside of the image, ``index``
    int64 [], whose name is in ``ids``; with confidences also ``weights`` float32 [S, S] in [0, 1], 0 outside.

    Args:
        images: The decoded images.
        read: Gives the mask uint8 [H, W] of a sample.
        size: S, side of the crops in pixels.
        scales: Smallest and largest random scale, relative to the scale at which the image's short side is S.
        seed: Seed of the crops.
        augmentation: What happens to the colours after that; None for nothing.
        read_weights: Gives the confidence uint8 [H, W] of a sample's mask, 255 for 1; None for no weights.
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
        crop, mask, *weights = _random_crop(rng, image, [maps[index] for maps in self._maps], self.size, scale)
        if rng.random() < 0.5:
            crop, mask, *weights = (layer[:, ::-1] for layer in (crop, mask, *weights))
        pixels = to_pixels(crop)
        if self.augmentation is not None:
            pixels = self.augmentation(pixels, rng).pixels
        masks = torch.from_numpy(mask.astype(np.int64))
        item = {"pixels": pixels, "masks": masks, "index": torch.tensor(index)}
        return {**item, "weights": torch.from_numpy(weights[0].astype(np.float32)) / 255} if weights else item


def _random_crop(
    rng: np.random.Generator, image: NDArray[np.uint8], maps: Sequence[NDArray[np.uint8]], size: int, scale: float
) -> list[NDArray[np.uint8]]:
    """Scale and take a square of side ``size`` of an image, its mask and, where there is one, its confidence.

    What lies outside of the image is mid-grey, ignored and of no weight.
    """
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    top = int(rng.integers(min(0, height - size), max(0, height - size) + 1))
    left = int(rng.integers(min(0, width - size), max(0, width - size) + 1))
    rows = slice(max(0, top), min(height, top + size))
    columns = slice(max(0, left), min(width, left + size))
    box = (columns.start / scale, rows.start / scale, columns.stop / scale, rows.stop / scale)
    box = (box[0], box[1], min(box[2], image.shape[1]), min(box[3], image.shape[0]))
    inner = (columns.stop - columns.start, rows.stop - rows.start)
    target = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
    layers = []
    for layer, outside in zip((image, *maps), (128, IGNORE_INDEX, 0), strict=False):
        way = Image.Resampling.NEAREST if outside == IGNORE_INDEX else Image.Resampling.BILINEAR
        crop = np.full((size, size, *layer.shape[2:]), outside, np.uint8)
        crop[target] = np.asarray(Image.fromarray(layer).resize(inner, way, box=box))
        layers.append(crop)
    return layers


def segment(run: Run) -> None:
    """Train on the pseudo masks; save the network and its predictions for the held-out images."""

    def read(sample: Sample) -> NDArray[np.uint8]:
        with result_of("pseudo-masks"):
            return read_mask(run.folder("pseudo-masks") / f"{sample.id}.png", sample.size, run.num_classes)

    def read_weights(sample: Sample) -> NDArray[np.uint8]:
        with result_of("pseudo-masks"):
            return read_confidence(confidence_folder(run) / f"{sample.id}.png", sample.size)

    weights = read_weights if run.config.segment.confidence_weighting else None
    train_segmentation(run, "segment", run.train_images, read, weights)


def supervised_bound(run: Run) -> None:
    """Train the same network on true masks: what is left to gain. The only training that ever reads them."""

    def read(sample: Sample) -> NDArray[np.uint8]:
        return read_truth(sample, run.num_classes)

    samples = [sample for sample in run.dataset.train if sample.mask_path is not None]
    train_segmentation(run, "supervised-bound", ImageCache(samples, run.config.data.cache_mb), read)


def train_segmentation(
    run: Run, stage: str, images: ImageCache, read: MaskReader, read_weights: MaskReader | None = None
) -> None:
    """Train the segmentation network of the config on images and the masks that ``read`` gives.

    Args:
        run: The run.
        stage: Stage whose folder and log this is.
        images: The training images.
        read: Gives the mask of a sample.
        read_weights: Gives its confidence, by which the loss is weighted; None weights all pixels equally.
    """
    settings = run.config.segment
    set_seed(run.config.seed)
    inference = Inference(tuple(settings.scales), settings.inference == "slide")
    network = build_segmentation_network(
        settings.model, run.dataset.catalogue.names, settings.image_size, inference
    ).to(run.device)
    if not has_weights(settings.model):
        run.log.message(f"{stage:16} {settings.model} is a config without weights: all weights start at random")
    pretrained, new = network.parameter_groups()
    scales, colours = (settings.smallest_scale, settings.largest_scale), _augmentation(settings)
    crops = MaskedCrops(images, read, settings.image_size, scales, run.config.seed, colours, read_weights)
    fit(
        stage,
        network,
        _step,
        [(pretrained, settings.backbone_rate), (new, 1.0)],
        training_loader(crops, settings.batch_size, run.config.seed, run.config.data.workers),
        replace(fitting(settings), schedule=settings.schedule, ema=settings.ema),
        run.accelerator,
        run.log,
        run.checkpoint(stage),
        count=count_labelled,
    )
    network.eval()
    if is_main_process():
        _save(network, run.folder(stage) / "model")
    predict_samples(run, network, run.dataset.val, run.folder(stage) / "predictions")


def _augmentation(settings: SegmentConfig) -> Augmentation | None:
    """Changes of colour that the settings ask for; None where they are off."""
    if not settings.color_jitter:
        return None
    from semples.data.augmentation import Augmentation  # its library takes a second to import

    return Augmentation(color_jitter=settings.color_jitter)


def _save(network: SegmentationNetwork, folder: Path) -> None:
    try:
        with writing(folder):
            network.save(folder)
    except SafetensorError as error:
        raise RunError(f"{folder} cannot be written ({error}): free some space; the same command continues") from error


def count_labelled(batch: Mapping[str, Tensor]) -> Tensor:
    """Number of labelled pixels in a batch of ``masks`` [B, H, W]: the loss is a mean over them."""
    return (batch["masks"] != IGNORE_INDEX).sum()


def _step(network: torch.nn.Module, batch: Mapping[str, Tensor]) -> StepResult:
    loss = pixel_cross_entropy(network(batch["pixels"]), batch["masks"], batch.get("weights"))
    return StepResult({"cross_entropy": loss})
