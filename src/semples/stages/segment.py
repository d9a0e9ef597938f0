"""Stage 5: train a segmentation network on masks, and predict with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor
from torch.utils.data import Dataset

from semples.data.images import read_image, read_mask, write_mask
from semples.data.loading import ImageCache, to_pixels, training_loader
from semples.data.truth import read_truth
from semples.distributed import is_first, share, wait
from semples.errors import RunError
from semples.files import writing
from semples.masks import labels_at_size
from semples.models.segmentation import SegmentationNetwork, build_segmentation_network
from semples.records import IGNORE_INDEX, Sample
from semples.stages.cams import size_batches, unfinished
from semples.stages.run import Run, fitting, result_of
from semples.training import StepResult, fit, set_seed

MaskReader = Callable[[Sample], NDArray[np.uint8]]


class MaskedCrops(Dataset[dict[str, Tensor]]):
    """Random square crops with masks: scaled, cropped, mirrored; reproducible by seed, epoch and index.

    Items: ``pixels`` float32 [3, S, S] in [0, 1], ``masks`` int64 [S, S] with 255 outside of the image, ``index``
    int64 [], whose name is in ``ids``.

    Args:
        images: The decoded images.
        read: Gives the mask uint8 [H, W] of a sample.
        size: S, side of the crops in pixels.
        scales: Smallest and largest random scale, relative to the scale at which the image's short side is S.
        seed: Seed of the crops.
    """

    def __init__(self, images: ImageCache, read: MaskReader, size: int, scales: tuple[float, float], seed: int) -> None:
        self.images, self.read, self.size, self.scales, self.seed = images, read, size, scales, seed
        self.epoch = 0
        self.ids = [sample.id for sample in images.samples]
        self._masks: dict[int, NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return len(self.images.samples)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        image = self.images[index]
        if index not in self._masks:
            self._masks[index] = self.read(self.images.samples[index])
        rng = np.random.default_rng((self.seed, self.epoch, index))
        scale = rng.uniform(*self.scales) * self.size / min(image.shape[:2])
        crop, mask = _random_crop(rng, image, self._masks[index], self.size, scale)
        if rng.random() < 0.5:
            crop, mask = crop[:, ::-1], mask[:, ::-1]
        masks = torch.from_numpy(mask.astype(np.int64))
        return {"pixels": to_pixels(crop), "masks": masks, "index": torch.tensor(index)}


def _random_crop(
    rng: np.random.Generator, image: NDArray[np.uint8], mask: NDArray[np.uint8], size: int, scale: float
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Scale and take a square of side ``size``; what lies outside of the image is mid-grey and ignored."""
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    top = int(rng.integers(min(0, height - size), max(0, height - size) + 1))
    left = int(rng.integers(min(0, width - size), max(0, width - size) + 1))
    rows = slice(max(0, top), min(height, top + size))
    columns = slice(max(0, left), min(width, left + size))
    box = (columns.start / scale, rows.start / scale, columns.stop / scale, rows.stop / scale)
    box = (box[0], box[1], min(box[2], image.shape[1]), min(box[3], image.shape[0]))
    inner = (columns.stop - columns.start, rows.stop - rows.start)
    crop = np.full((size, size, 3), 128, np.uint8)
    label = np.full((size, size), IGNORE_INDEX, np.uint8)
    target = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
    crop[target] = np.asarray(Image.fromarray(image).resize(inner, Image.Resampling.BILINEAR, box=box))
    label[target] = np.asarray(Image.fromarray(mask).resize(inner, Image.Resampling.NEAREST, box=box))
    return crop, label


def segment(run: Run) -> None:
    """Train on the pseudo masks; save the network and its predictions for the held-out images."""

    def read(sample: Sample) -> NDArray[np.uint8]:
        with result_of("pseudo-masks"):
            return read_mask(run.folder("pseudo-masks") / f"{sample.id}.png", sample.size, run.num_classes)

    train_segmentation(run, "segment", run.train_images, read)


def supervised_bound(run: Run) -> None:
    """Train the same network on true masks: what is left to gain. The only training that ever reads them."""

    def read(sample: Sample) -> NDArray[np.uint8]:
        return read_truth(sample, run.num_classes)

    samples = [sample for sample in run.dataset.train if sample.mask_path is not None]
    train_segmentation(run, "supervised-bound", ImageCache(samples, run.config.data.cache_mb), read)


def train_segmentation(run: Run, stage: str, images: ImageCache, read: MaskReader) -> None:
    """Train the segmentation network of the config on images and the masks that ``read`` gives."""
    settings = run.config.segment
    set_seed(run.config.seed)
    network = build_segmentation_network(settings.model, run.dataset.catalogue.names, settings.image_size).to(
        run.device
    )
    pretrained, new = network.parameter_groups()
    scales = (settings.smallest_scale, settings.largest_scale)
    crops = MaskedCrops(images, read, settings.image_size, scales, run.config.seed)
    fit(
        stage,
        network,
        _step,
        [(pretrained, settings.backbone_rate), (new, 1.0)],
        training_loader(crops, settings.batch_size, run.config.seed, run.config.data.workers),
        fitting(settings),
        run.accelerator,
        run.log,
        run.checkpoint(stage),
        count=count_labelled,
    )
    network.eval()
    if is_first():
        _save(network, run.folder(stage) / "model")
    predict_samples(run, network, run.dataset.val, run.folder(stage) / "predictions")


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
    loss = F.cross_entropy(network(batch["pixels"]), batch["masks"], ignore_index=IGNORE_INDEX, reduction="sum")
    return StepResult({"cross_entropy": loss / count_labelled(batch).clamp(min=1)})


@torch.no_grad()
def predict_labels(network: SegmentationNetwork, pixels: Tensor) -> NDArray[np.uint8]:
    """Predict label maps uint8 [B, H, W] of images [B, 3, H, W] in [0, 1].

    The network sees the images at the scale it was trained at, each and its mirror image; logits are averaged.
    """
    size = pixels.shape[-2:]
    scale = network.short_side / min(size)
    target = [max(1, round(side * scale)) for side in size]
    scaled = F.interpolate(pixels, target, mode="bilinear", align_corners=False, antialias=True)
    logits = network(scaled) + network(scaled.flip(-1)).flip(-1)
    return np.asarray(labels_at_size(logits, (size[0], size[1])).cpu().numpy())


def predict_samples(run: Run, network: SegmentationNetwork, samples: tuple[Sample, ...], folder: Path) -> None:
    """Write the predicted mask ``ID.png`` of every sample; batches whose files are all there are passed over.

    Every process does its share of the batches; all are there at the end.
    """
    batches = unfinished(share(list(size_batches(samples, network.short_side))), samples, folder, ".png")
    for indices in run.log.track(batches, "predictions"):
        pixels = torch.stack([to_pixels(read_image(samples[i].path)) for i in indices]).to(run.device)
        for index, mask in zip(indices, predict_labels(network, pixels), strict=True):
            write_mask(folder / f"{samples[index].id}.png", mask)
    wait()
