"""Stage 4: refine the best CAMs there are, and cut them into masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from semples.config import Config
from semples.data.crops import to_pixels
from semples.data.images import write_confidence, write_mask
from semples.errors import ResultError
from semples.files import Writer, read_json, write_json
from semples.inference.cams import read_cams
from semples.method.masks import score_margin, winning_labels, with_background
from semples.method.refinement import dense_crf, ignore_band, pixel_adaptive_refinement
from semples.parallel.processes import barrier, broadcast_flag, is_main_process, shard
from semples.records import IGNORE_INDEX
from semples.runtime.run import Run, result_of
from semples.runtime.threshold_choice import THRESHOLD_FILE, choose_for_masks

Threshold = TypeVar("Threshold", float, Tensor)
RefinementStep = Callable[[Tensor, Tensor], Tensor]
"""Image [3, H, W] in [0, 1] and scores [K'+1, H, W] in, scores out (:mod:`semples.method.refinement`)."""


def final_generator(guided: bool) -> str:
    """Name of the stage whose CAMs become pseudo masks."""
    return "refine" if guided else "classify"


def step_folders(run: Run) -> dict[str, Path]:
    """Folder of the masks after each refinement step, made without the ignore band; the last may be the final ones."""
    settings, final = run.config.pseudo_masks, run.folder("pseudo-masks")
    folders: dict[str, Path] = {step: final / f"after-{step}" for step in settings.refinement}
    return folders if settings.ignore_band else folders | dict.fromkeys(settings.refinement[-1:], final)


def confidence_folder(run: Run) -> Path:
    """Folder of the masks' confidence, written if stage 5 weights its loss by it."""
    return run.folder("pseudo-masks") / "confidence"


def pseudo_masks(run: Run) -> None:
    """Write ``ID.png`` for every training image that has none: 0 background, k + 1 for class k, 255 in the ignore band.

    Each refinement step leaves its masks too, so that it can be judged (:func:`step_folders`), and where stage 5 asks
    for it the last one's scores leave their margin as confidence, uint8 with 255 for 1. What the masks are cut at
    stands in ``threshold.json``. Every process does its share of the images.
    """
    source, final = run.folder(final_generator(run.config.guidance.enabled)), run.folder("pseudo-masks")
    settings, steps = run.config.pseudo_masks, list(refinement_steps(run.config).values())
    choice = _choice(run)
    samples = run.dataset.train
    missing = [i for i in shard(range(len(samples))) if not (final / f"{samples[i].id}.png").is_file()]
    with Writer() as writer:
        for index in run.log.track(missing, "pseudo masks"):
            sample = samples[index]
            cams, classes = (torch.from_numpy(array).to(run.device) for array in read_cams(source, sample))
            image = to_pixels(run.train_images[index]).to(run.device)
            scores_at = partial(refined_scores, image, cams.float() / 255, steps)
            own = choice["images"].get(sample.id)
            threshold = choice["threshold"] if own is None else torch.tensor(own, device=run.device)
            scores = scores_at(threshold)
            after_step = [winning_labels(each, classes) for each in scores]
            mask = after_step[-1]
            if settings.ignore_band:
                ends = band_ends(threshold, settings.ignore_band)
                low, high = (winning_labels(scores_at(end)[-1], classes) for end in ends)
                mask = ignore_band(low, high, IGNORE_INDEX)
            if run.config.segment.confidence_weighting:
                confidence = (score_margin(scores[-1]) * 255).round().to(torch.uint8)
                writer.add(write_confidence, confidence_folder(run) / f"{sample.id}.png", confidence.cpu().numpy())
            masks = dict(zip(step_folders(run).values(), after_step[1:], strict=True))
            for folder, labels in (masks | {final: mask}).items():  # the final one comes last
                writer.add(write_mask, folder / f"{sample.id}.png", labels.cpu().numpy())


def _choice(run: Run) -> dict[str, Any]:
    """The choice that a stopped run began with, or else one that is made and written now."""
    path = run.folder("pseudo-masks") / THRESHOLD_FILE
    if not broadcast_flag(path.is_file()):
        choice = choose_for_masks(run, final_generator(run.config.guidance.enabled))
        if is_main_process():
            write_json(path, choice.record())
        barrier()
    return recorded_choice(run)


def recorded_choice(run: Run) -> dict[str, Any]:
    """What the pseudo masks of a run are cut at, as in ``threshold.json``.

    Raises:
        RunError: Stage 4 is not done, or the file is damaged.
    """
    path = run.finished_file("pseudo-masks", THRESHOLD_FILE)
    with result_of("pseudo-masks"):
        record: dict[str, Any] = read_json(path)
    if not isinstance(record, dict) or not {"criterion", "threshold", "images"} <= record.keys():
        raise ResultError(f"{path} is no choice of a threshold: --force pseudo-masks makes it again")
    return record


def refinement_steps(config: Config) -> dict[str, RefinementStep]:
    """Steps that the config names, in its order, with the settings of their sections."""
    known: dict[str, RefinementStep] = {
        "pixel_adaptive": partial(pixel_adaptive_refinement, **vars(config.pixel_adaptive)),
        "dense_crf": partial(dense_crf, **vars(config.dense_crf)),
    }
    return {name: known[name] for name in config.pseudo_masks.refinement}


def refined_label_maps(
    image: Tensor, cams: Tensor, class_ids: Tensor, steps: Sequence[RefinementStep], threshold: float | Tensor
) -> list[Tensor]:
    """Cut CAMs before any refinement step and after each.

    Args:
        image: Colours [3, H, W] in [0, 1].
        cams: CAMs [K', H, W] in [0, 1] of the classes present.
        class_ids: Their 0-based class indices [K'], int64.
        steps: S refinement steps, done one after the other.
        threshold: Background score before the first step, for all classes or for each [K']. With several, a pixel has
            the class that is the furthest above its own.

    Returns:
        S + 1 label maps [H, W], uint8: 0 is background, class k is k + 1.
    """
    return [winning_labels(scores, class_ids) for scores in refined_scores(image, cams, steps, threshold)]


def refined_scores(
    image: Tensor, cams: Tensor, steps: Sequence[RefinementStep], threshold: float | Tensor
) -> list[Tensor]:
    """Scores [K'+1, H, W], background first, before any refinement step and after each.

    Arguments are those of :func:`refined_label_maps`.
    """
    if isinstance(threshold, Tensor):
        scores = [with_background(cams - threshold[:, None, None], 0.0)]
    else:
        scores = [with_background(cams, threshold)]
    for step in steps:
        scores.append(step(image, scores[-1]))
    return scores


def band_ends(threshold: Threshold, width: float) -> tuple[Threshold, Threshold]:
    """Lower and upper end, in [0, 1], of the ignore band around a threshold, or around each of several."""
    if isinstance(threshold, Tensor):
        return (threshold - width / 2).clamp(min=0), (threshold + width / 2).clamp(max=1)
    return max(0.0, threshold - width / 2), min(1.0, threshold + width / 2)
