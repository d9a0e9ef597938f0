"""Choosing the threshold at which the CAMs of a run are cut: the setting, or by a criterion without ground truth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from semples.config.plugins import import_object
from semples.config.registry import CRITERIA
from semples.data.crops import ImageCache, to_pixels
from semples.data.subsets import evenly_spaced
from semples.inference.thresholds.base import Criterion
from semples.inference.thresholds.by_prompts import RegionJudge
from semples.inference.thresholds.image_maps import ImageMaps
from semples.parallel.processes import shard
from semples.records import Sample
from semples.rundir.threshold import CONSTANT, ThresholdChoice
from semples.runtime.cam_files import read_cams
from semples.runtime.context import Run
from semples.runtime.models import RunModels

IMAGES = 80
"""Number of training images that a threshold is chosen on, evenly spaced."""


def build_criterion(models: RunModels) -> Criterion:
    """Build the criterion that the settings of the models' run name."""
    entry = CRITERIA[models.config.criterion]
    criterion = import_object(entry.path, "pseudo_masks.criterion")
    if entry.needs_vision_language:
        return criterion(models.vision_language, models.device)  # type: ignore[no-any-return]
    if not entry.needs_prompts:
        return criterion(models.device)  # type: ignore[no-any-return]
    texts, prompts, left_out = models.class_features(), models.prompt_features(), models.left_out_classes()
    judge = RegionJudge(models.vision_language, models.match_score, texts, prompts, left_out)
    return criterion(judge)  # type: ignore[no-any-return]


def choose_for_masks(run: Run, stage: str) -> ThresholdChoice:
    """Choose where to cut the CAMs of a stage into pseudo masks: one threshold, or one for each image and class."""
    constant = _constant(run.config.pseudo_masks.threshold)
    if constant is not None:
        return constant
    criterion, samples = build_criterion(run.models), run.dataset.train
    if not criterion.for_each_image:
        return criterion.choose(judged_maps(run, stage, _judged_indices(samples), refined=True))
    return criterion.choose_for_images(judged_maps(run, stage, range(len(samples)), refined=True), samples)


def choose_threshold(run: Run, stage: str) -> ThresholdChoice:
    """Choose one threshold for the unrefined CAMs of a stage, without opening ground-truth masks."""
    constant = _constant(run.config.pseudo_masks.threshold)
    if constant is not None:
        return constant
    return build_criterion(run.models).choose(judged_maps(run, stage, _judged_indices(run.dataset.train)))


def judged_maps(run: Run, stage: str, indices: Iterable[int], refined: bool = False) -> Iterator[ImageMaps]:
    """Yield the CAMs of this process's share of training images, as they will be cut.

    Refining for each candidate threshold would take too long. A linear refinement leaves a constant background
    unchanged, so that maps which it has refined once can be cut at any threshold.

    Args:
        run: The run.
        stage: Name of the stage that wrote the CAMs.
        indices: Indices of the training images, of all processes.
        refined: Refine the CAMs by the first step of the settings, if it is linear.
    """
    steps = list(run.config.refinement_steps().values())[:1] if refined else []
    refine = steps[0].step() if steps and steps[0].is_linear else None
    for index in run.log.track(shard(list(indices)), f"cuts of {stage}"):
        sample = run.dataset.train[index]
        stored, classes = read_cams(run.directory, stage, sample)
        cams = torch.from_numpy(stored).to(run.device).float() / 255
        read_image = partial(_pixels, run.train_images, index, run.device)
        if refine is not None and len(cams):
            cams = refine(read_image(), cams)
        yield ImageMaps(sample, cams, torch.from_numpy(classes).to(run.device), read_image)


def _constant(threshold: float | None) -> ThresholdChoice | None:
    return None if threshold is None else ThresholdChoice(CONSTANT, threshold)


def _judged_indices(samples: Sequence[Sample]) -> list[int]:
    return evenly_spaced(range(len(samples)), IMAGES)


def _pixels(images: ImageCache, index: int, device: torch.device) -> Tensor:
    return to_pixels(images[index]).to(device)
