"""Where the CAMs of a run are cut: a constant, or chosen without ground truth on some training images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from semples.data.loading import to_pixels
from semples.data.shown import evenly
from semples.masks import masked_regions
from semples.records import Sample
from semples.refinement import pixel_adaptive_refinement
from semples.stages.cams import read_cams
from semples.stages.run import PROMPTS_FILE, Run
from semples.thresholds import CANDIDATES, LEVELS, hard_masks, lowest, otsu_costs, prompt_costs

THRESHOLD_FILE = "threshold.json"

IMAGES = 80
"""Images that a threshold is chosen on, at even distances among those for training."""

FALLBACK = 0.4
"""The threshold where nothing speaks for any: no image with a tag, or maps without a pattern."""


@dataclass(frozen=True)
class Choice:
    """A threshold, and what it was chosen by.

    Attributes:
        criterion: Name of the criterion; "constant" for a threshold that was set.
        threshold: From 0 to 1.
        costs: Cost of each of :data:`semples.thresholds.CANDIDATES`; empty for a constant.
    """

    criterion: str
    threshold: float
    costs: tuple[float, ...] = ()

    def record(self) -> dict[str, Any]:
        """What ``threshold.json`` says of it."""
        costs = {f"{t:.2f}": round(cost, 6) for t, cost in zip(CANDIDATES, self.costs, strict=False)}
        return {"criterion": self.criterion, "threshold": self.threshold, "costs": costs}


@dataclass(frozen=True)
class Maps:
    """CAMs of one image, as they will be cut.

    Attributes:
        sample: The image.
        image: Its colours [3, H, W] in [0, 1].
        cams: CAMs [P, H, W] in [0, 1] of its P classes.
        classes: Their 0-based indices [P], int64.
    """

    sample: Sample
    image: Tensor
    cams: Tensor
    classes: Tensor


def choose_threshold(run: Run, stage: str, refined: bool = False) -> Choice:
    """Choose where to cut the CAMs of a stage, as the config says; no mask is opened for it.

    Args:
        run: The run.
        stage: Name of the stage whose CAMs they are.
        refined: Judge them after pixel_adaptive (where the config has it as its first step) and not as they are.
    """
    settings = run.config.pseudo_masks
    if settings.threshold is not None:
        return Choice("constant", settings.threshold)
    by_default = "prompts" if run.config.guidance.enabled else "otsu"
    name = by_default if settings.criterion == "auto" else settings.criterion
    picked = evenly(range(len(run.dataset.train)), IMAGES)
    costs = CRITERIA[name](run, judged_maps(run, stage, picked, refined))
    best = lowest(costs)
    return Choice(name, FALLBACK if best is None else best, tuple(costs))


def judged_maps(run: Run, stage: str, indices: Iterable[int], refined: bool = False) -> Iterator[Maps]:
    """Read the CAMs of training images as they will be cut.

    pixel_adaptive is a weighted mean, which leaves a constant background as it is: maps that went through it once can
    be cut at any threshold.

    Args:
        run: The run.
        stage: Name of the stage whose CAMs they are.
        indices: Which training images.
        refined: Let them go through pixel_adaptive, where the config has it as its first step.
    """
    refined = refined and run.config.pseudo_masks.refinement[:1] == ["pixel_adaptive"]
    for index in run.log.track(list(indices), f"cuts of {stage}"):
        sample = run.dataset.train[index]
        stored, classes = read_cams(run.folder(stage), sample)
        image = to_pixels(run.train_images[index]).to(run.device)
        cams = torch.from_numpy(stored).to(run.device).float() / 255
        if refined:
            cams = pixel_adaptive_refinement(image, cams, **vars(run.config.pixel_adaptive))
        yield Maps(sample, image, cams, torch.from_numpy(classes).to(run.device))


@torch.no_grad()
def costs_by_prompts(run: Run, maps: Iterable[Maps]) -> list[float]:
    """Mean cost of each candidate over (image, class) pairs, by class texts and learned prompts."""
    score, texts, prompts = run.match_score, *text_features(run)
    costs = [
        prompt_costs(foreground, background, texts[index], prompts[index], score)
        for index, foreground, background in region_features(run, maps)
    ]
    return torch.stack(costs).mean(0).tolist() if costs else [0.0] * len(CANDIDATES)


@torch.no_grad()
def text_features(run: Run) -> tuple[Tensor, Tensor]:
    """Features [K, D] of the class texts and of the learned prompts."""
    model = run.vision_language
    vectors = run.finished_tensors("prompts", PROMPTS_FILE)["vectors"]
    return model.encode_classes(list(run.dataset.catalogue.prompt_names)), model.encode_prompts(vectors)


@torch.no_grad()
def region_features(run: Run, maps: Iterable[Maps]) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield each (image, class) pair: its class, and features [T, D] of fore- and background at each candidate.

    An empty region is what is then left to see: the fill colour, which matches nothing well.
    """
    model = run.vision_language
    for shown in maps:
        for masks, index in zip(hard_masks(shown.cams), shown.classes.tolist(), strict=True):
            same_image = torch.zeros(len(masks), dtype=torch.int64, device=masks.device)
            regions = masked_regions(shown.image[None], masks.float(), same_image, model.fill)
            foreground, background = model.encode_images(torch.cat(regions)).chunk(2)
            yield index, foreground, background


def costs_by_otsu(run: Run, maps: Iterable[Maps]) -> list[float]:
    """Variance of the maps' values that each candidate leaves, over the pixels of all images."""
    histogram = torch.zeros(LEVELS, dtype=torch.int64, device=run.device)
    for shown in maps:
        if len(shown.cams):
            levels = (shown.cams.amax(0) * (LEVELS - 1)).round().long().flatten()
            histogram += torch.bincount(levels, minlength=LEVELS)
    return otsu_costs(histogram).tolist()


CRITERIA: dict[str, Callable[[Run, Iterable[Maps]], list[float]]] = {
    "prompts": costs_by_prompts,
    "otsu": costs_by_otsu,
}
"""Criterion -> the cost of each candidate."""
