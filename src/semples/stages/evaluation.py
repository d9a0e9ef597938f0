"""Stage 6: score every result against ground truth, where it exists.

Only this stage, and the training of the supervised bound, open ground-truth masks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from semples.data.images import read_mask, write_mask
from semples.data.subsets import evenly_spaced
from semples.data.truth import read_truth
from semples.inference.cutting import refined_label_maps
from semples.inference.thresholds.image_maps import ImageMaps
from semples.method.metrics import THRESHOLDS, ConfusionMatrix, ThresholdSweep
from semples.models.segmentation import is_model_folder, load_segmentation_network
from semples.parallel.processes import all_reduce_counts, is_main_process, shard
from semples.records import Sample
from semples.rundir.evaluation import write_evaluation
from semples.rundir.layout import CAM_STAGES, RunDirectory, mask_file
from semples.rundir.shown_images import write_shown_images
from semples.rundir.threshold import ThresholdChoice, read_threshold
from semples.runtime.context import Run, result_of
from semples.runtime.predictions import predict_samples
from semples.runtime.threshold_choice import choose_for_masks, choose_threshold, judged_maps
from semples.stages.pseudo_masks import step_folders

THUMBNAIL = 320
"""Longest side of a ground-truth thumbnail in pixels."""


def evaluate(run: Run) -> None:
    """Write evaluation.json, and the ground-truth thumbnails and predictions that the report shows."""
    count = run.config.report.images
    shown = {"train": evenly_spaced(run.dataset.train, count), "val": evenly_spaced(run.dataset.val, count)}
    _write_shown_images(run.directory, shown, run.num_classes)
    cams = {stage: score_cams(run, stage) for stage in CAM_STAGES}
    folders = step_folders(run.config.pseudo_masks, run.directory)
    refinements = {step: score_masks(run, "train", folder, "pseudo-masks") for step, folder in folders.items()}
    pseudo_masks = score_pseudo_masks(run)
    networks = [_score_network(run, stage) for stage in ("segment", "supervised-bound")]
    if is_main_process():
        classes = run.dataset.catalogue.names
        write_evaluation(run.directory.evaluation, classes, cams, refinements, pseudo_masks, *networks)


def score_cams(run: Run, stage: str) -> dict[str, Any] | None:
    """Score the stored CAMs of a stage at a threshold chosen without ground truth, and at the best single threshold.

    Returns:
        The scores; None where no training image has a mask, or the stage left no CAMs.
    """
    with_masks = _indices_with_masks(run.dataset.train)
    if not with_masks or not run.directory.cams(stage).is_dir():
        return None
    choice = choose_threshold(run, stage)
    sweep = sweep_maps(judged_maps(run, stage, with_masks), run.num_classes, run.averaged_labels)
    matrix = sweep.matrix_at(round(choice.threshold * (len(THRESHOLDS) - 1)))
    names = run.dataset.catalogue.names
    scores = matrix.scores(names)
    chosen = {"criterion": choice.criterion, "threshold": choice.threshold}
    return {"split": "train", **scores, **chosen, **_oracle_scores(sweep, names, scores["miou"])}


def score_pseudo_masks(run: Run) -> dict[str, Any] | None:
    """Score the pseudo masks, and the masks that the best single threshold would have given.

    The best threshold is left out after a refinement that sees labels, which would have to run again for each one.
    """
    scores = score_masks(run, "train", run.directory.pseudo_masks, "pseudo-masks")
    if scores is None:
        return None
    choice = read_threshold(run.directory.threshold)
    scores |= {"criterion": choice.criterion, "threshold": choice.threshold}
    if any(step.sees_labels for step in run.config.refinement_steps().values()):
        return scores
    maps = judged_maps(run, run.pseudo_mask_source, _indices_with_masks(run.dataset.train), refined=True)
    sweep = sweep_maps(maps, run.num_classes, run.averaged_labels)
    return {**scores, **_oracle_scores(sweep, run.dataset.catalogue.names, scores["miou"])}


def score_refined_cams(run: Run, stage: str) -> dict[str, Any] | None:
    """Score the masks that the refinement of the settings makes of a stage's CAMs, without an ignore band.

    Returns:
        The scores at the threshold that is chosen without ground truth, and at the best single threshold; the latter is
        left out after a refinement that sees labels. None where no training image has a mask, or the stage left no
        CAMs.
    """
    with_masks = _indices_with_masks(run.dataset.train)
    if not with_masks or not run.directory.cams(stage).is_dir():
        return None
    choice, names = choose_for_masks(run, stage), run.dataset.catalogue.names
    chosen = {"split": "train", "criterion": choice.criterion, "threshold": choice.threshold}
    sees_labels = any(step.sees_labels for step in run.config.refinement_steps().values())
    if sees_labels:
        return {**_score_cuts(run, stage, choice, with_masks).scores(names), **chosen}
    maps = judged_maps(run, stage, with_masks, refined=True)
    sweep = sweep_maps(maps, run.num_classes, run.averaged_labels)
    matrix = (
        _score_cuts(run, stage, choice, with_masks)
        if choice.images
        else sweep.matrix_at(round(choice.threshold * (len(THRESHOLDS) - 1)))
    )
    scores = matrix.scores(names)
    return {**scores, **chosen, **_oracle_scores(sweep, names, scores["miou"])}


def _score_cuts(run: Run, stage: str, choice: ThresholdChoice, indices: Iterable[int]) -> ConfusionMatrix:
    """Refine and cut the CAMs of a stage as pseudo masks are made, and count their labels against ground truth."""
    steps = [step.step() for step in run.config.refinement_steps().values()]
    matrix = ConfusionMatrix(run.num_classes + 1, run.averaged_labels)
    for maps in judged_maps(run, stage, indices):
        thresholds = choice.images.get(maps.sample.id)  # one for each class of this image, or None
        threshold = choice.threshold if thresholds is None else torch.tensor(thresholds, device=run.device)
        labels = refined_label_maps(maps.read_image(), maps.cams, maps.classes, steps, threshold)[-1]
        matrix.update(labels.cpu().numpy(), read_truth(maps.sample, run.num_classes))
    matrix.counts, matrix.images = all_reduce_counts(matrix.counts), _sum_over_processes(matrix.images)
    return matrix


def sweep_maps(maps: Iterable[ImageMaps], num_classes: int, averaged_labels: list[int] | None) -> ThresholdSweep:
    """Cut the maps of all processes at every threshold, and count the labels against ground truth.

    Args:
        maps: This process's share of the maps.
        num_classes: K.
        averaged_labels: Mask values over which means are taken; None for all.
    """
    sweep = ThresholdSweep(num_classes + 1, averaged_labels)
    for image in maps:
        truth = read_truth(image.sample, num_classes)
        sweep.update(image.cams.clamp(0, 1).cpu().numpy(), image.classes.cpu().numpy(), truth)
    sweep.histogram, sweep.images = all_reduce_counts(sweep.histogram), _sum_over_processes(sweep.images)
    return sweep


def _oracle_scores(sweep: ThresholdSweep, names: Sequence[str], miou: float | None) -> dict[str, float | None]:
    """Return the best threshold, its scores, and how far above an mIoU it is; None where no averaged class occurs."""
    threshold, oracle = sweep.best()
    scores = oracle.scores(names)
    best = scores["miou"]
    return {
        "oracle_threshold": threshold,
        "oracle_miou": best,
        "oracle_false_positive": scores["false_positive"],
        "oracle_false_negative": scores["false_negative"],
        "oracle_distance": None if best is None or miou is None else best - miou,
    }


def _indices_with_masks(samples: Sequence[Sample]) -> list[int]:
    return [index for index, sample in enumerate(samples) if sample.mask_path is not None]


def score_masks(run: Run, split: str, folder: Path, stage: str) -> dict[str, Any] | None:
    """Score the masks of a split in a folder that a stage wrote; None where there is nothing to score."""
    samples: Sequence[Sample] = run.dataset.train if split == "train" else run.dataset.val
    samples = [sample for sample in samples if sample.mask_path is not None]
    if not samples or not folder.is_dir():
        return None
    matrix = ConfusionMatrix(run.num_classes + 1, run.averaged_labels)
    for sample in run.log.track(shard(samples), f"scoring {folder.name}"):
        with result_of(stage):
            prediction = read_mask(mask_file(folder, sample.id), sample.size, run.num_classes)
        matrix.update(prediction, read_truth(sample, run.num_classes))
    matrix.counts, matrix.images = all_reduce_counts(matrix.counts), _sum_over_processes(matrix.images)
    matrix.unpredicted = _sum_over_processes(matrix.unpredicted)
    return {"split": split, **matrix.scores(run.dataset.catalogue.names)}


def _sum_over_processes(count: int) -> int:
    return int(all_reduce_counts(np.array(count)))


def _score_network(run: Run, stage: str) -> dict[str, Any] | None:
    """Score a stage's network on both splits; its masks of the training images are predicted here and kept."""
    if not is_model_folder(run.directory.model(stage)):
        return None
    folder = run.directory.train_predictions(stage)
    if any(sample.mask_path is not None for sample in run.dataset.train):
        with result_of(stage):
            network = load_segmentation_network(run.directory.model(stage)).to(run.device)
        predict_samples(network, run.dataset.train, folder, run.device, run.log)
    return {
        "train": score_masks(run, "train", folder, "evaluate"),
        "val": score_masks(run, "val", run.directory.held_out_predictions(stage), stage),
    }


def _write_shown_images(directory: RunDirectory, shown: dict[str, list[Sample]], num_classes: int) -> None:
    """Write the ids of the images that the report shows, by split, and thumbnails of their ground truth."""
    ids = {split: [sample.id for sample in samples] for split, samples in shown.items()}
    if is_main_process():
        write_shown_images(directory.shown_images, ids)
    with_masks = [sample for samples in shown.values() for sample in samples if sample.mask_path is not None]
    for sample in shard(with_masks):
        truth = Image.fromarray(read_truth(sample, num_classes))
        truth.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.NEAREST)
        write_mask(mask_file(directory.truth_thumbnails, sample.id), np.asarray(truth))
