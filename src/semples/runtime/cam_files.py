"""CAMs of all training images: computed by a mask generator, written to files, and read back."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from semples.data.crops import to_pixels
from semples.errors import ResultError
from semples.files import Writer
from semples.inference.batches import size_batches, unfinished
from semples.inference.cams import quantize, tagged_cams
from semples.parallel.processes import shard
from semples.records import Sample
from semples.rundir.layout import RunDirectory, map_file
from semples.rundir.maps import DAMAGED_MAPS, read_maps, write_maps
from semples.runtime.context import Run


def write_cams(run: Run, stage: str, generator: nn.Module) -> None:
    """Compute the CAMs of every training image and write one file each; finished batches are skipped.

    Each process does its share of the batches. A file holds the maps of the P tagged classes at the image's own size
    (:mod:`semples.rundir.maps`).
    """
    generator.eval()
    samples, folder = run.dataset.train, run.directory.cams(stage)
    # Whole batches are dealt out, before finished ones are dropped: batches and shares, and so the last bits of a
    # result, do not depend on where an earlier run stopped.
    share = shard(list(size_batches(samples)))
    batches = unfinished(share, lambda index: map_file(folder, samples[index].id))
    settings = run.config.cams
    affinity = (run.models.affinity_steps, run.config.mask_generator.affinity_threshold)
    with Writer() as writer:
        for indices in run.log.track(batches, f"{stage} CAMs"):
            tags = [samples[i].tags for i in indices]
            pixels = torch.stack([to_pixels(run.train_images[i]) for i in indices]).to(run.device)
            with run.accelerator.autocast():
                cams = tagged_cams(generator, pixels, tags, run.num_classes, settings.scales, settings.flip, *affinity)
            for index, maps in zip(indices, cams, strict=True):
                classes = np.array(samples[index].tags, np.int64)
                writer.add(write_maps, map_file(folder, samples[index].id), quantize(maps).numpy(), classes)


def read_cams(directory: RunDirectory, stage: str, sample: Sample) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read the CAMs of an image that a stage wrote.

    Returns:
        Maps uint8 [P, H, W], 255 for 1, and the 0-based classes int64 [P], which are the image's tags.

    Raises:
        ResultError: The file is missing, damaged, or belongs to another image.
    """
    path = map_file(directory.cams(stage), sample.id)
    try:
        cams, classes = read_maps(path)
        if cams.shape[1:] != sample.size or classes.tolist() != list(sample.tags):
            found = f"maps of {list(cams.shape[1:])} pixels, classes {classes.tolist()}"
            raise ValueError(f"{found}, expected {list(sample.size)} and {list(sample.tags)}, the tags of the image")
    except DAMAGED_MAPS as error:
        problem = "missing" if isinstance(error, FileNotFoundError) else f"damaged ({error})"
        raise ResultError(f"{path}: {problem}; --force {stage} recreates it") from error
    return cams, classes
