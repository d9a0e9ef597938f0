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
    """Stage 5: train on the pseudo masks; save the network and its predictions for the held-out images."""

    def read_pseudo_mask(sample: Sample) -> NDArray[np.uint8]:
        with result_of("pseudo-masks"):
            return read_mask(run.directory.pseudo_mask(sample.id), sample.size, run.num_classes)

    def read_pixel_weights(sample: Sample) -> NDArray[np.uint8]:
        with result_of("pseudo-masks"):
            return read_confidence(mask_file(run.directory.confidence, sample.id), sample.size)

    weight_reader = read_pixel_weights if run.config.segment.confidence_weighting else None
    train_segmentation(run, "segment", run.train_images, read_pseudo_mask, weight_reader)


def supervised_bound(run: Run) -> None:
    """Train the same network on ground-truth masks, as an upper bound. No other training reads them."""

    def read_true_mask(sample: Sample) -> NDArray[np.uint8]:
        return read_truth(sample, run.num_classes)

    samples = [sample for sample in run.dataset.train if sample.mask_path is not None]
    train_segmentation(run, "supervised-bound", ImageCache(samples, run.config.data.cache_mb), read_true_mask)


def train_segmentation(
    run: Run, stage: str, images: ImageCache, mask_reader: MaskReader, weight_reader: MaskReader | None = None
) -> None:
    """Train the segmentation network of the settings; save it and its predictions for the held-out images.

    Args:
        run: The run.
        stage: Stage to write to, and its name in logs.
        images: The training images.
        mask_reader: Returns the mask of a sample.
        weight_reader: Returns the confidence of a sample's pixels, by which the loss is weighted; None weights all
            pixels equally.
    """
    settings, model = run.config.segment, run.config.segmentation_model
    set_seed(run.config.seed)
    inference = Inference(tuple(settings.scales), settings.inference == "slide")
    network = build_segmentation_network(model, run.dataset.catalogue.names, settings.image_size, inference).to(
        run.device
    )
    if not has_weights(model):
        run.log.message(f"{stage:16} {model} is a config without weights; training starts from random weights")
    pretrained_parameters, new_parameters = network.parameter_groups()
    scales = (settings.smallest_scale, settings.largest_scale)
    augmentation = build_augmentation(color_jitter=settings.color_jitter)
    crops = MaskedCrops(images, mask_reader, settings.image_size, scales, run.config.seed, augmentation, weight_reader)
    fit(
        stage,
        network,
        _segmentation_step,
        [(pretrained_parameters, settings.backbone_rate), (new_parameters, 1.0)],
        training_loader(crops, settings.batch_size, run.config.seed, run.config.data.workers),
        replace(training_options(settings), schedule=settings.schedule, ema=settings.ema),
        run.accelerator,
        run.log,
        run.checkpoint(stage),
        count=count_labeled,
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
        raise RunError(f"{folder}: cannot be written ({error}); free some space, then repeat the command") from error


def count_labeled(batch: Mapping[str, Tensor]) -> Tensor:
    """Return the number of labeled pixels in a batch of ``masks`` [B, H, W]: the loss is a mean over them."""
    return (batch["masks"] != IGNORE_INDEX).sum()


def _segmentation_step(network: torch.nn.Module, batch: Mapping[str, Tensor]) -> StepResult:
    loss = pixel_cross_entropy(network(batch["pixels"]), batch["masks"], batch.get("weights"))
    return StepResult({"cross_entropy": loss})
