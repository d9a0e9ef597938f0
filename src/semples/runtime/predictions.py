"""Predicting the masks of many images with a segmentation network, into files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from semples.data.crops import to_pixels
from semples.data.images import read_image, write_mask
from semples.files import Writer
from semples.inference.batches import unfinished
from semples.inference.label_maps import predict_labels, prediction_batches
from semples.models.segmentation import SegmentationNetwork
from semples.parallel.processes import barrier, shard
from semples.records import Sample
from semples.rundir.layout import mask_file
from semples.training.progress import TrainingLog


def predict_samples(
    network: SegmentationNetwork, samples: Sequence[Sample], folder: Path, device: torch.device, log: TrainingLog
) -> None:
    """Write the predicted mask of every sample; finished batches are skipped.

    Each process does its share of the batches; all masks exist when the function returns.
    """
    batches = shard(list(prediction_batches(network, samples)))
    with Writer() as writer:
        for indices in log.track(unfinished(batches, lambda i: mask_file(folder, samples[i].id)), "predictions"):
            pixels = torch.stack([to_pixels(read_image(samples[i].path)) for i in indices]).to(device)
            for index, mask in zip(indices, predict_labels(network, pixels), strict=True):
                writer.add(write_mask, mask_file(folder, samples[index].id), mask)
    barrier()
