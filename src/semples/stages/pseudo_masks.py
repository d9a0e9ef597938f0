"""Stage 4: refine the CAMs of the last trained generator, and cut them into masks."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from semples.config import PseudoMasksConfig
from semples.data.crops import to_pixels
from semples.data.images import write_confidence, write_mask
from semples.files import Writer
from semples.inference.cutting import Threshold, band_ends, refined_scores
from semples.method.masks import ignore_band, score_margin, winning_labels
from semples.parallel.processes import barrier, broadcast_flag, is_main_process, shard
from semples.records import IGNORE_INDEX
from semples.rundir.layout import RunDirectory, mask_file
from semples.rundir.threshold import ThresholdChoice, read_threshold, write_threshold
from semples.runtime.cam_files import read_cams
from semples.runtime.context import Run
from semples.runtime.threshold_choice import choose_for_masks


def step_folders(settings: PseudoMasksConfig, directory: RunDirectory) -> dict[str, Path]:
    """Return the folder of the masks after each refinement step, without the ignore band.

    Without an ignore band the masks after the last step are the pseudo masks themselves, and share their folder.
    """
    folders: dict[str, Path] = {step: directory.refined_masks(step) for step in settings.refinement}
    last_step = settings.refinement[-1:]  # empty where there are no steps
    return folders if settings.ignore_band else folders | dict.fromkeys(last_step, directory.pseudo_masks)


def pseudo_masks(run: Run) -> None:
    """Write ``ID.png`` for every training image that has none: 0 background, k + 1 for class k, 255 in the ignore band.

    The masks after each refinement step are kept too, so that it can be scored (:func:`step_folders`). If stage 5
    weights pixels by confidence, the margin of the final scores is written as well, uint8 with 255 for 1. The
    threshold is recorded in ``threshold.json``. Each process does its share of the images.
    """
    source, final = run.pseudo_mask_source, run.directory.pseudo_masks
    settings, steps = run.config.pseudo_masks, [step.step() for step in run.config.refinement_steps().values()]
    choice = _recorded_choice(run)
    samples, folders = run.dataset.train, step_folders(settings, run.directory).values()
    missing = [i for i in shard(range(len(samples))) if not mask_file(final, samples[i].id).is_file()]
    with Writer() as writer:
        for index in run.log.track(missing, "pseudo masks"):
            sample = samples[index]
            cams, classes = (
                torch.from_numpy(array).to(run.device) for array in read_cams(run.directory, source, sample)
            )
            image = to_pixels(run.train_images[index]).to(run.device)
            scores_at = partial(refined_scores, image, cams.float() / 255, steps)
            thresholds = choice.images.get(sample.id)  # one for each class of this image, or None: one for all images
            threshold: Threshold = (
                choice.threshold if thresholds is None else torch.tensor(thresholds, device=run.device)
            )
            scores = scores_at(threshold)  # before the first step and after each
            label_maps = [winning_labels(each, classes) for each in scores]
            mask = label_maps[-1]
            if settings.ignore_band:
                # Refinement depends on the background score, so that all steps run again for each end of the band.
                ends = band_ends(threshold, settings.ignore_band)
                low, high = (winning_labels(scores_at(end)[-1], classes) for end in ends)
                mask = ignore_band(low, high, IGNORE_INDEX)
            if run.config.segment.confidence_weighting:
                confidence = (score_margin(scores[-1]) * 255).round().to(torch.uint8)
                path = mask_file(run.directory.confidence, sample.id)
                writer.add(write_confidence, path, confidence.cpu().numpy())
            masks = dict(zip(folders, label_maps[1:], strict=True))
            # The pseudo mask comes last: where it exists after a kill, the image's other files do too.
            for folder, labels in (masks | {final: mask}).items():
                writer.add(write_mask, mask_file(folder, sample.id), labels.cpu().numpy())


def _recorded_choice(run: Run) -> ThresholdChoice:
    """Return the threshold that a stopped run had already recorded; otherwise choose one and record it."""
    path = run.directory.threshold
    if not broadcast_flag(path.is_file()):
        choice = choose_for_masks(run, run.pseudo_mask_source)
        if is_main_process():
            write_threshold(path, choice)
        barrier()
    return read_threshold(path)
