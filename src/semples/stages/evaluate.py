"""Stage 6: score everything against ground truth, where it exists. The only stage that opens it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from semples.data.images import read_mask, write_mask
from semples.data.shown import evenly
from semples.data.truth import read_truth
from semples.distributed import is_first, share, summed_counts
from semples.files import write_json
from semples.metrics import THRESHOLDS, ConfusionMatrix, ThresholdSweep
from semples.models.segmentation import load_segmentation_network
from semples.records import Sample
from semples.stages.cams import read_cams
from semples.stages.pseudo_masks import step_folders
from semples.stages.run import FOLDERS, Run, result_of
from semples.stages.segment import predict_samples

THUMBNAIL = 320
"""Longest side of a truth thumbnail in pixels."""


def evaluate(run: Run) -> None:
    """Write evaluation.json, and the truth thumbnails and predictions that the report shows."""
    threshold = run.config.pseudo_masks.threshold
    count = run.config.report.images
    _write_shown(run, {"train": evenly(run.dataset.train, count), "val": evenly(run.dataset.val, count)})
    record = {
        "classes": list(run.dataset.catalogue.names),
        "cams": {stage: score_cams(run, run.folder(stage), threshold) for stage in ("classify", "match", "refine")},
        "refinements": {step: score_masks(run, "train", folder) for step, folder in step_folders(run).items()},
        "pseudo_masks": score_masks(run, "train", run.folder("pseudo-masks")),
        "segmentation": _score_network(run, "segment", "predictions"),
        "supervised_bound": _score_network(run, "supervised-bound", "supervised-predictions"),
    }
    if is_first():
        write_json(run.directory / "evaluation.json", record)


def score_cams(run: Run, folder: Path, threshold: float) -> dict[str, Any] | None:
    """Score the stored CAMs of a stage at a threshold chosen without masks, and at the best there is."""
    samples = [sample for sample in run.dataset.train if sample.mask_path is not None]
    if not samples or not (folder / "cams").is_dir():
        return None
    sweep = ThresholdSweep(run.num_classes + 1, run.averaged_labels)
    for sample in run.log.track(share(samples), f"scoring {folder.name}"):
        cams, classes = read_cams(folder, sample)
        sweep.update(cams, classes, read_truth(sample, run.num_classes))
    sweep.histogram, sweep.images = summed_counts(sweep.histogram), _summed(sweep.images)
    oracle_threshold, oracle = sweep.best()
    return {
        "split": "train",
        **sweep.matrix_at(round(threshold * (len(THRESHOLDS) - 1))).scores(run.dataset.catalogue.names),
        "threshold": threshold,
        "oracle_threshold": oracle_threshold,
        "oracle_miou": oracle.miou,
        "oracle_false_positive": oracle.false_positive,
        "oracle_false_negative": oracle.false_negative,
    }


def score_masks(run: Run, split: str, folder: Path) -> dict[str, Any] | None:
    """Score a folder of ``ID.png`` masks of a split; None where there is nothing to score."""
    samples: Sequence[Sample] = run.dataset.train if split == "train" else run.dataset.val
    samples = [sample for sample in samples if sample.mask_path is not None]
    if not samples or not folder.is_dir():
        return None
    matrix = ConfusionMatrix(run.num_classes + 1, run.averaged_labels)
    stage = next(name for name in FOLDERS if folder.is_relative_to(run.folder(name)))
    for sample in run.log.track(share(samples), f"scoring {folder.name}"):
        with result_of(stage):
            prediction = read_mask(folder / f"{sample.id}.png", sample.size, run.num_classes)
        matrix.update(prediction, read_truth(sample, run.num_classes))
    matrix.counts, matrix.images = summed_counts(matrix.counts), _summed(matrix.images)
    matrix.unpredicted = _summed(matrix.unpredicted)
    return {"split": split, **matrix.scores(run.dataset.catalogue.names)}


def _summed(count: int) -> int:
    return int(summed_counts(np.array(count)))


def _score_network(run: Run, stage: str, folder: str) -> dict[str, Any] | None:
    """Score a segmentation network on both splits; its training predictions are made here and kept."""
    if not (run.folder(stage) / "model" / "config.json").is_file():
        return None
    has_truth = any(sample.mask_path is not None for sample in run.dataset.train)
    train_folder = run.folder("evaluate") / folder
    if has_truth:
        with result_of("segment"):
            network = load_segmentation_network(run.folder(stage) / "model").to(run.device)
        predict_samples(run, network, run.dataset.train, train_folder)
    return {
        "train": score_masks(run, "train", train_folder),
        "val": score_masks(run, "val", run.folder(stage) / "predictions"),
    }


def _write_shown(run: Run, shown: dict[str, list[Sample]]) -> None:
    ids = {split: [s.id for s in samples] for split, samples in shown.items()}
    if is_first():
        write_json(run.folder("evaluate") / "samples.json", ids)
    for sample in share([s for samples in shown.values() for s in samples if s.mask_path is not None]):
        truth = Image.fromarray(read_truth(sample, run.num_classes))
        truth.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.NEAREST)
        write_mask(run.folder("evaluate") / "truth" / f"{sample.id}.png", np.asarray(truth))
