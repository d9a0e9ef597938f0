"""Stage 5: train a segmentation network on masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor

from semples.data.crops import ImageCache, build_augmentation, training_loader
from semples.data.images import read_confidence, read_mask
from semples.data.masked_crops import MaskedCrops, MaskReader
from semples.data.truth import read_truth
from semples.errors import RunError
from semples.files import writing
from semples.method.losses import pixel_cross_entropy
from semples.models.segmentation import (
    Inference,
    SegmentationNetwork,
    build_segmentation_network,
    has_weights,
)
from semples.parallel.processes import is_main_process
from semples.records import IGNORE_INDEX, Sample
from semples.rundir.layout import mask_file
from semples.runtime.context import Run, result_of, training_options
from semples.runtime.predictions import predict_samples
from semples.training.devices import set_seed
from semples.training.loop import StepResult, fit


def segment(run: Run) -> None:
    """Train on the pseudo masks; save the network and its predictions for the held-out images."""

    def read(sample: Sample) -> NDArray[np.uint8]:
        with result_of("pseudo-masks"):
            return read_mask(run.directory.pseudo_mask(sample.id), sample.size, run.num_classes)

    def read_weights(sample: Sample) -> NDArray[np.uint8]:
        with result_of("pseudo-masks"):
            return read_confidence(mask_file(run.directory.confidence, sample.id), sample.size)

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
    scales = (settings.smallest_scale, settings.largest_scale)
    augmentation = build_augmentation(color_jitter=settings.color_jitter)
    crops = MaskedCrops(images, read, settings.image_size, scales, run.config.seed, augmentation, read_weights)
    fit(
        stage,
        network,
        _step,
        [(pretrained, settings.backbone_rate), (new, 1.0)],
        training_loader(crops, settings.batch_size, run.config.seed, run.config.data.workers),
        replace(training_options(settings), schedule=settings.schedule, ema=settings.ema),
        run.accelerator,
        run.log,
        run.checkpoint(stage),
        count=count_labelled,
    )
    network.eval()
    if is_main_process():
        _save(network, run.directory.model(stage))
    folder = run.directory.held_out_predictions(stage)
    predict_samples(network, run.dataset.val, folder, run.device, run.log)


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
