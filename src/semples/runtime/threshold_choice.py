"""Where the CAMs of a run are cut: a constant, or chosen without ground truth on some training images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

import torch
from torch import Tensor

from semples.config.plugins import import_object
from semples.config.registry import CRITERIA
from semples.data.crops import to_pixels
from semples.data.subsets import evenly_spaced
from semples.inference.thresholds.base import Criterion, ImageMaps
from semples.inference.thresholds.by_prompts import RegionJudge
from semples.parallel.processes import shard
from semples.rundir.threshold import CONSTANT, ThresholdChoice
from semples.runtime.cam_files import read_cams
from semples.runtime.context import Run

IMAGES = 80
"""Training images that a threshold is chosen on, evenly spaced."""


def criterion_of(run: Run) -> Criterion:
    """Build the criterion that the settings name."""
    entry, models = CRITERIA[run.config.criterion], run.models
    criterion = import_object(entry.path, "pseudo_masks.criterion")
    if not entry.needs_prompts:
        return criterion(run.device)  # type: ignore[no-any-return]
    judge = RegionJudge(models.vision_language, models.match_score, models.class_features(), models.prompt_features())
    return criterion(judge)  # type: ignore[no-any-return]


def choose_for_masks(run: Run, stage: str) -> ThresholdChoice:
    """Choose where to cut the CAMs of a stage into pseudo masks: one threshold, or one for each image and class."""
    constant = _constant(run)
    if constant is not None:
        return constant
    criterion, samples = criterion_of(run), run.dataset.train
    if not criterion.for_each_image:
        return criterion.choose(judged_maps(run, stage, _some_images(run), refined=True))
    return criterion.choose_for_images(judged_maps(run, stage, range(len(samples)), refined=True), samples)


def choose_threshold(run: Run, stage: str) -> ThresholdChoice:
    """Choose one threshold for the unrefined CAMs of a stage, as the settings say; no mask is opened for it."""
    return _constant(run) or criterion_of(run).choose(judged_maps(run, stage, _some_images(run)))


def judged_maps(run: Run, stage: str, indices: Iterable[int], refined: bool = False) -> Iterator[ImageMaps]:
    """Read the CAMs of this process's share of training images as they will be cut.

    A linear refinement leaves a constant background unchanged: maps that were refined once can be cut at any threshold.

    Args:
        run: The run.
        stage: Name of the stage whose CAMs they are.
        indices: Indices of the training images.
        refined: Refine them by the first step of the settings, if it is linear.
    """
    steps = list(run.config.refinement_steps().values())[:1] if refined else []
    refine = steps[0].step() if steps and steps[0].is_linear else None
    for index in run.log.track(shard(list(indices)), f"cuts of {stage}"):
        sample = run.dataset.train[index]
        stored, classes = read_cams(run.directory, stage, sample)
        cams = torch.from_numpy(stored).to(run.device).float() / 255
        read_image = partial(_image, run, index)
        if refine is not None and len(cams):
            cams = refine(read_image(), cams)
        yield ImageMaps(sample, cams, torch.from_numpy(classes).to(run.device), read_image)


def _constant(run: Run) -> ThresholdChoice | None:
    threshold = run.config.pseudo_masks.threshold
    return None if threshold is None else ThresholdChoice(CONSTANT, threshold)


def _some_images(run: Run) -> list[int]:
    return evenly_spaced(range(len(run.dataset.train)), IMAGES)


def _image(run: Run, index: int) -> Tensor:
    return to_pixels(run.train_images[index]).to(run.device)
