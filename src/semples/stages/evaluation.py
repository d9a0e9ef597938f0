"""Stage 6: score everything against ground truth, where it exists. The only stage that opens it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from semples.data.images import read_mask, write_mask
from semples.data.subsets import evenly_spaced
from semples.data.truth import read_truth
from semples.inference.thresholds.base import ImageMaps
from semples.method.metrics import THRESHOLDS, ConfusionMatrix, ThresholdSweep
from semples.models.segmentation import is_model_folder, load_segmentation_network
from semples.parallel.processes import all_reduce_counts, is_main_process, shard
from semples.records import Sample
from semples.rundir.evaluation import write_evaluation
from semples.rundir.layout import CAM_STAGES, mask_file
from semples.rundir.shown_images import write_shown_images
from semples.rundir.threshold import read_threshold
from semples.runtime.context import Run, result_of
from semples.runtime.predictions import predict_samples
from semples.runtime.threshold_choice import choose_threshold, judged_maps
from semples.stages.pseudo_masks import step_folders

THUMBNAIL = 320
"""Longest side of a truth thumbnail in pixels."""


def evaluate(run: Run) -> None:
    """Write evaluation.json, and the truth thumbnails and predictions that the report shows."""
    count = run.config.report.images
    _write_shown(run, {"train": evenly_spaced(run.dataset.train, count), "val": evenly_spaced(run.dataset.val, count)})
    cams = {stage: score_cams(run, stage) for stage in CAM_STAGES}
    refinements = {
        step: score_masks(run, "train", folder, "pseudo-masks") for step, folder in step_folders(run).items()
    }
    pseudo_masks = score_pseudo_masks(run)
    networks = [_score_network(run, stage) for stage in ("segment", "supervised-bound")]
    if is_main_process():
        classes = run.dataset.catalogue.names
        write_evaluation(run.directory.evaluation, classes, cams, refinements, pseudo_masks, *networks)


def score_cams(run: Run, stage: str) -> dict[str, Any] | None:
    """Score the stored CAMs of a stage at a threshold chosen without masks, and at the best there is."""
    if not _with_truth(run) or not run.directory.cams(stage).is_dir():
        return None
    choice = choose_threshold(run, stage)
    sweep = sweep_maps(run, judged_maps(run, stage, _with_truth(run)))
    matrix = sweep.matrix_at(round(choice.threshold * (len(THRESHOLDS) - 1)))
    scores = matrix.scores(run.dataset.catalogue.names)
    choice_made = {"criterion": choice.criterion, "threshold": choice.threshold}
    return {"split": "train", **scores, **choice_made, **_oracle(run, sweep, scores["miou"])}


def score_pseudo_masks(run: Run) -> dict[str, Any] | None:
    """Score the pseudo masks, and what they would be at the best threshold there is.

    A refinement that sees labels would have to run again for every threshold: there is no best one after it.
    """
    scores = score_masks(run, "train", run.directory.pseudo_masks, "pseudo-masks")
    if scores is None:
        return None
    choice = read_threshold(run.directory.threshold)
    scores |= {"criterion": choice.criterion, "threshold": choice.threshold}
    if any(step.sees_labels for step in run.config.refinement_steps().values()):
        return scores
    maps = judged_maps(run, run.pseudo_mask_source, _with_truth(run), refined=True)
    return {**scores, **_oracle(run, sweep_maps(run, maps), scores["miou"])}


def sweep_maps(run: Run, maps: Iterable[ImageMaps]) -> ThresholdSweep:
    """Cut maps of every process at every threshold and count them against ground truth."""
    sweep = ThresholdSweep(run.num_classes + 1, run.averaged_labels)
    for shown in maps:
        truth = read_truth(shown.sample, run.num_classes)
        sweep.update(shown.cams.clamp(0, 1).cpu().numpy(), shown.classes.cpu().numpy(), truth)
    sweep.histogram, sweep.images = all_reduce_counts(sweep.histogram), _summed(sweep.images)
    return sweep


def _oracle(run: Run, sweep: ThresholdSweep, miou: float | None) -> dict[str, float | None]:
    """The best threshold, its scores, and how far from them an mIoU is; None where no averaged class occurs."""
    threshold, oracle = sweep.best()
    scores = oracle.scores(run.dataset.catalogue.names)
    best = scores["miou"]
    return {
        "oracle_threshold": threshold,
        "oracle_miou": best,
        "oracle_false_positive": scores["false_positive"],
        "oracle_false_negative": scores["false_negative"],
        "oracle_distance": None if best is None or miou is None else best - miou,
    }


def _with_truth(run: Run) -> list[int]:
    """Indices of the training images that have a mask."""
    return [index for index, sample in enumerate(run.dataset.train) if sample.mask_path is not None]


def score_masks(run: Run, split: str, folder: Path, stage: str) -> dict[str, Any] | None:
    """Score a folder of masks of a split, which a stage wrote; None where there is nothing to score."""
    samples: Sequence[Sample] = run.dataset.train if split == "train" else run.dataset.val
    samples = [sample for sample in samples if sample.mask_path is not None]
    if not samples or not folder.is_dir():
        return None
    matrix = ConfusionMatrix(run.num_classes + 1, run.averaged_labels)
    for sample in run.log.track(shard(samples), f"scoring {folder.name}"):
        with result_of(stage):
            prediction = read_mask(mask_file(folder, sample.id), sample.size, run.num_classes)
        matrix.update(prediction, read_truth(sample, run.num_classes))
    matrix.counts, matrix.images = all_reduce_counts(matrix.counts), _summed(matrix.images)
    matrix.unpredicted = _summed(matrix.unpredicted)
    return {"split": split, **matrix.scores(run.dataset.catalogue.names)}


def _summed(count: int) -> int:
    return int(all_reduce_counts(np.array(count)))


def _score_network(run: Run, stage: str) -> dict[str, Any] | None:
    """Score the network that a stage trained on both splits; its masks of training images are made here and kept."""
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


def _write_shown(run: Run, shown: dict[str, list[Sample]]) -> None:
    ids = {split: [s.id for s in samples] for split, samples in shown.items()}
    if is_main_process():
        write_shown_images(run.directory.shown_images, ids)
    for sample in shard([s for samples in shown.values() for s in samples if s.mask_path is not None]):
        truth = Image.fromarray(read_truth(sample, run.num_classes))
        truth.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.NEAREST)
        write_mask(mask_file(run.directory.truth_thumbnails, sample.id), np.asarray(truth))
