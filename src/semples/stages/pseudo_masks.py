"""Stage 4: refine the best CAMs there are, and cut them into masks."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch

from semples.data.crops import to_pixels
from semples.data.images import write_confidence, write_mask
from semples.files import Writer
from semples.inference.cutting import band_ends, refined_scores
from semples.method.masks import ignore_band, score_margin, winning_labels
from semples.parallel.processes import barrier, broadcast_flag, is_main_process, shard
from semples.records import IGNORE_INDEX
from semples.rundir.layout import mask_file
from semples.rundir.threshold import ThresholdChoice, read_threshold, write_threshold
from semples.runtime.cam_files import read_cams
from semples.runtime.context import Run
from semples.runtime.threshold_choice import choose_for_masks


def step_folders(run: Run) -> dict[str, Path]:
    """Folder of the masks after each refinement step, made without the ignore band; the last may be the final ones."""
    settings, final = run.config.pseudo_masks, run.directory.pseudo_masks
    folders: dict[str, Path] = {step: run.directory.refined_masks(step) for step in settings.refinement}
    return folders if settings.ignore_band else folders | dict.fromkeys(settings.refinement[-1:], final)


def pseudo_masks(run: Run) -> None:
    """Write ``ID.png`` for every training image that has none: 0 background, k + 1 for class k, 255 in the ignore band.

    Each refinement step leaves its masks too, so that it can be judged (:func:`step_folders`), and where stage 5 asks
    for it the last one's scores leave their margin as confidence, uint8 with 255 for 1. What the masks are cut at
    stands in ``threshold.json``. Every process does its share of the images.
    """
    source, final = run.pseudo_mask_source, run.directory.pseudo_masks
    settings, steps = run.config.pseudo_masks, [step.step() for step in run.config.refinement_steps().values()]
    choice = _choice(run)
    samples = run.dataset.train
    missing = [i for i in shard(range(len(samples))) if not mask_file(final, samples[i].id).is_file()]
    with Writer() as writer:
        for index in run.log.track(missing, "pseudo masks"):
            sample = samples[index]
            cams, classes = (
                torch.from_numpy(array).to(run.device) for array in read_cams(run.directory, source, sample)
            )
            image = to_pixels(run.train_images[index]).to(run.device)
            scores_at = partial(refined_scores, image, cams.float() / 255, steps)
            own = choice.images.get(sample.id)
            threshold: Any = choice.threshold if own is None else torch.tensor(own, device=run.device)
            scores = scores_at(threshold)
            after_step = [winning_labels(each, classes) for each in scores]
            mask = after_step[-1]
            if settings.ignore_band:
                ends = band_ends(threshold, settings.ignore_band)
                low, high = (winning_labels(scores_at(end)[-1], classes) for end in ends)
                mask = ignore_band(low, high, IGNORE_INDEX)
            if run.config.segment.confidence_weighting:
                confidence = (score_margin(scores[-1]) * 255).round().to(torch.uint8)
                path = mask_file(run.directory.confidence, sample.id)
                writer.add(write_confidence, path, confidence.cpu().numpy())
            masks = dict(zip(step_folders(run).values(), after_step[1:], strict=True))
            for folder, labels in (masks | {final: mask}).items():  # the final one comes last
                writer.add(write_mask, mask_file(folder, sample.id), labels.cpu().numpy())


def _choice(run: Run) -> ThresholdChoice:
    """Return the choice that a stopped run began with; where there is none, make one and record it."""
    path = run.directory.threshold
    if not broadcast_flag(path.is_file()):
        choice = choose_for_masks(run, run.pseudo_mask_source)
        if is_main_process():
            write_threshold(path, choice)
        barrier()
    return read_threshold(path)
