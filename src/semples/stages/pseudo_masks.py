"""Stage 4: refine the best CAMs there are, and cut them into masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from semples.config import Config
from semples.data.images import write_mask
from semples.data.loading import to_pixels
from semples.distributed import share
from semples.masks import winning_labels, with_background
from semples.records import IGNORE_INDEX
from semples.refinement import dense_crf, ignore_band, pixel_adaptive_refinement
from semples.stages.cams import read_cams
from semples.stages.run import Run

RefinementStep = Callable[[Tensor, Tensor], Tensor]
"""Image [3, H, W] in [0, 1] and scores [K'+1, H, W] in, scores out (:mod:`semples.refinement`)."""


def final_generator(guided: bool) -> str:
    """Name of the stage whose CAMs become pseudo masks."""
    return "refine" if guided else "classify"


def step_folders(run: Run) -> dict[str, Path]:
    """Folder of the masks after each refinement step, made without the ignore band; the last may be the final ones."""
    settings, final = run.config.pseudo_masks, run.folder("pseudo-masks")
    folders: dict[str, Path] = {step: final / f"after-{step}" for step in settings.refinement}
    return folders if settings.ignore_band else folders | dict.fromkeys(settings.refinement[-1:], final)


def pseudo_masks(run: Run) -> None:
    """Write ``ID.png`` for every training image that has none: 0 background, k + 1 for class k, 255 in the ignore band.

    Each refinement step leaves its masks too, so that it can be judged (:func:`step_folders`).
    """
    source, final = run.folder(final_generator(run.config.guidance.enabled)), run.folder("pseudo-masks")
    settings, steps = run.config.pseudo_masks, refinement_steps(run.config)
    low, high = band_ends(settings.threshold, settings.ignore_band)
    samples = run.dataset.train
    missing = [i for i in share(range(len(samples))) if not (final / f"{samples[i].id}.png").is_file()]
    for index in run.log.track(missing, "pseudo masks"):
        sample = samples[index]
        cams, classes = (torch.from_numpy(array).to(run.device) for array in read_cams(source, sample))
        image = to_pixels(run.train_images[index]).to(run.device)
        label_maps = partial(refined_label_maps, image, cams.float() / 255, classes, list(steps.values()))
        after_step = label_maps(settings.threshold)
        mask = after_step[-1]
        if settings.ignore_band:
            mask = ignore_band(label_maps(low)[-1], label_maps(high)[-1], IGNORE_INDEX)
        masks = dict(zip(step_folders(run).values(), after_step[1:], strict=True))
        for folder, labels in (masks | {final: mask}).items():  # the final one comes last
            write_mask(folder / f"{sample.id}.png", labels.cpu().numpy())


def refinement_steps(config: Config) -> dict[str, RefinementStep]:
    """Steps that the config names, in its order, with the settings of their sections."""
    known: dict[str, RefinementStep] = {
        "pixel_adaptive": partial(pixel_adaptive_refinement, **vars(config.pixel_adaptive)),
        "dense_crf": partial(dense_crf, **vars(config.dense_crf)),
    }
    return {name: known[name] for name in config.pseudo_masks.refinement}


def refined_label_maps(
    image: Tensor, cams: Tensor, class_ids: Tensor, steps: Sequence[RefinementStep], threshold: float
) -> list[Tensor]:
    """Cut CAMs before any refinement step and after each.

    Args:
        image: Colours [3, H, W] in [0, 1].
        cams: CAMs [K', H, W] in [0, 1] of the classes present.
        class_ids: Their 0-based class indices [K'], int64.
        steps: S refinement steps, done one after the other.
        threshold: Background score before the first step.

    Returns:
        S + 1 label maps [H, W], uint8: 0 is background, class k is k + 1.
    """
    scores = with_background(cams, threshold)
    labels = [winning_labels(scores, class_ids)]
    for step in steps:
        scores = step(image, scores)
        labels.append(winning_labels(scores, class_ids))
    return labels


def band_ends(threshold: float, width: float) -> tuple[float, float]:
    """Lower and upper end, in [0, 1], of the ignore band around a threshold."""
    return max(0.0, threshold - width / 2), min(1.0, threshold + width / 2)
