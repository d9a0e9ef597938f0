"""Where the CAMs of a run are cut: a constant, or chosen without ground truth on some training images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from semples.data.crops import to_pixels
from semples.data.subsets import evenly
from semples.inference.cams import read_cams
from semples.method.masks import masked_regions
from semples.method.refinement import pixel_adaptive_refinement
from semples.method.thresholds import (
    CANDIDATES,
    LEVELS,
    hard_masks,
    li_costs,
    lowest,
    otsu_costs,
    prompt_costs,
    shrunk_costs,
)
from semples.parallel.processes import all_reduce_sum, shard, unshard
from semples.records import Sample
from semples.runtime.run import Run

THRESHOLD_FILE = "threshold.json"

IMAGES = 80
"""Images that a threshold is chosen on, at even distances among those for training."""

PRIOR = 10.0
"""n0 of :func:`semples.method.thresholds.shrunk_costs`: for how many images the mean of a class counts."""

FALLBACK = 0.4
"""The threshold where nothing speaks for any: no image with a tag, maps without a pattern or off all objects."""


@dataclass(frozen=True)
class Choice:
    """A threshold, and what it was chosen by.

    Attributes:
        criterion: Name of the criterion; "constant" for a threshold that was set.
        threshold: From 0 to 1.
        costs: Cost of each of :data:`semples.method.thresholds.CANDIDATES`; empty for a constant.
        images: Thresholds of each image of its own, by id, in the order of its classes; empty where all have the one.
    """

    criterion: str
    threshold: float
    costs: tuple[float, ...] = ()
    images: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """What ``threshold.json`` says of it."""
        costs = {f"{t:.2f}": round(cost, 6) for t, cost in zip(CANDIDATES, self.costs, strict=False)}
        return {
            "criterion": self.criterion,
            "threshold": self.threshold,
            "costs": costs,
            "images": {key: list(values) for key, values in self.images.items()},
        }


@dataclass(frozen=True)
class Maps:
    """CAMs of one image, as they will be cut.

    Attributes:
        sample: The image.
        cams: CAMs [P, H, W] in [0, 1] of its P classes.
        classes: Their 0-based indices [P], int64.
        read_image: Gives its colours [3, H, W] in [0, 1]; not every use of the maps needs them.
    """

    sample: Sample
    cams: Tensor
    classes: Tensor
    read_image: Callable[[], Tensor]


def criterion_of(run: Run) -> str:
    """Name of the criterion that the config asks for: "constant" or one of its own."""
    settings = run.config.pseudo_masks
    if settings.threshold is not None:
        return "constant"
    by_default = "prompts" if run.config.guidance.enabled else "li"
    return by_default if settings.criterion == "auto" else settings.criterion


def choose_for_masks(run: Run, stage: str) -> Choice:
    """Choose where to cut the CAMs of a stage into pseudo masks: one threshold, or one for each image and class."""
    if criterion_of(run) != "prompts_image":
        return choose_threshold(run, stage, refined=True)
    samples = run.dataset.train
    found = prompt_costs_of_pairs(run, judged_maps(run, stage, range(len(samples)), refined=True))
    if not found:
        return Choice("prompts_image", FALLBACK)
    costs = torch.stack([cost for _, cost in found])  # [P, T]
    classes = torch.tensor([index for index, _ in found])
    whole = costs.mean(0).tolist()
    threshold = best_by_prompts(whole)
    own = iter(shrunk_costs(costs, classes, PRIOR).tolist())
    images = {sample.id: [best_threshold(next(own), threshold) for _ in sample.tags] for sample in samples}
    return Choice("prompts_image", threshold, tuple(whole), images)


def best_threshold(costs: Sequence[float], otherwise: float = FALLBACK) -> float:
    """Return the threshold of the lowest cost; another one where nothing speaks for any."""
    best = lowest(costs)
    return otherwise if best is None else best


def best_by_prompts(costs: Sequence[float]) -> float:
    """Return the threshold of a data set by its costs by prompts.

    Costs that fall until the lowest candidate, where regions are nearly whole images, speak for no threshold: the
    prompts did not find the objects in the maps.
    """
    best = best_threshold(costs)
    return FALLBACK if best == CANDIDATES[0] else best


def choose_threshold(run: Run, stage: str, refined: bool = False) -> Choice:
    """Choose one threshold for the CAMs of a stage, as the config says; no mask is opened for it.

    Where the config wants one for each image and class, the mean of the same costs decides.

    Args:
        run: The run.
        stage: Name of the stage whose CAMs they are.
        refined: Judge them after pixel_adaptive (where the config has it as its first step) and not as they are.
    """
    if run.config.pseudo_masks.threshold is not None:
        return Choice("constant", run.config.pseudo_masks.threshold)
    name = criterion_of(run).removesuffix("_image")
    picked = evenly(range(len(run.dataset.train)), IMAGES)
    costs = CRITERIA[name](run, judged_maps(run, stage, picked, refined))
    best = best_by_prompts if name == "prompts" else best_threshold
    return Choice(name, best(costs), tuple(costs))


def judged_maps(run: Run, stage: str, indices: Iterable[int], refined: bool = False) -> Iterator[Maps]:
    """Read the CAMs of this process's share of training images as they will be cut.

    pixel_adaptive is a weighted mean, which leaves a constant background as it is: maps that went through it once can
    be cut at any threshold.

    Args:
        run: The run.
        stage: Name of the stage whose CAMs they are.
        indices: Which training images.
        refined: Let them go through pixel_adaptive, where the config has it as its first step.
    """
    refined = refined and run.config.pseudo_masks.refinement[:1] == ["pixel_adaptive"]
    for index in run.log.track(shard(list(indices)), f"cuts of {stage}"):
        sample = run.dataset.train[index]
        stored, classes = read_cams(run.folder(stage), sample)
        cams = torch.from_numpy(stored).to(run.device).float() / 255
        read_image = partial(_image, run, index)
        if refined and len(cams):
            cams = pixel_adaptive_refinement(read_image(), cams, **vars(run.config.pixel_adaptive))
        yield Maps(sample, cams, torch.from_numpy(classes).to(run.device), read_image)


def _image(run: Run, index: int) -> Tensor:
    return to_pixels(run.train_images[index]).to(run.device)


def costs_by_prompts(run: Run, maps: Iterable[Maps]) -> list[float]:
    """Mean cost of each candidate over (image, class) pairs, by class texts and learned prompts."""
    costs = [cost for _, cost in prompt_costs_of_pairs(run, maps)]
    return list(torch.stack(costs).mean(0).tolist()) if costs else [0.0] * len(CANDIDATES)


@torch.no_grad()
def prompt_costs_of_pairs(run: Run, maps: Iterable[Maps]) -> list[tuple[int, Tensor]]:
    """Class of each (image, class) pair of all processes, and its cost of each candidate [T] on the processor."""
    score, texts, prompts = run.match_score, *text_features(run)

    def of_image(shown: Maps) -> list[tuple[int, Tensor]]:
        return [
            (index, prompt_costs(foreground, background, texts[index], prompts[index], score).cpu())
            for index, foreground, background in region_features(run, shown)
        ]

    return [pair for pairs in unshard([of_image(shown) for shown in maps]) for pair in pairs]


@torch.no_grad()
def text_features(run: Run) -> tuple[Tensor, Tensor]:
    """Features [K, D] of the class texts and of the learned prompts."""
    model = run.vision_language
    return model.encode_classes(list(run.dataset.catalogue.prompt_names)), model.encode_prompts(run.load_prompts())


@torch.no_grad()
def region_features(run: Run, shown: Maps) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield each class of an image, and features [T, D] of its fore- and background at each candidate.

    An empty region is what is then left to see: the fill colour, which matches nothing well.
    """
    model, image = run.vision_language, shown.read_image()[None]
    for masks, index in zip(hard_masks(shown.cams), shown.classes.tolist(), strict=True):
        same_image = torch.zeros(len(masks), dtype=torch.int64, device=masks.device)
        regions = masked_regions(image, masks.float(), same_image, model.fill)
        foreground, background = model.encode_images(torch.cat(regions)).chunk(2)
        yield index, foreground, background


def costs_by_li(run: Run, maps: Iterable[Maps]) -> list[float]:
    """Cross entropy between the maps' values and their means on the two sides of each candidate."""
    return list(li_costs(value_histogram(run, maps)).tolist())


def costs_by_otsu(run: Run, maps: Iterable[Maps]) -> list[float]:
    """Variance of the maps' values that each candidate leaves."""
    return list(otsu_costs(value_histogram(run, maps)).tolist())


def value_histogram(run: Run, maps: Iterable[Maps]) -> Tensor:
    """Count the highest values [256] of the pixels of all images of all processes."""
    histogram = torch.zeros(LEVELS, dtype=torch.int64, device=run.device)
    for shown in maps:
        if len(shown.cams):
            levels = (shown.cams.amax(0) * (LEVELS - 1)).round().long().flatten()
            histogram += torch.bincount(levels, minlength=LEVELS)
    return all_reduce_sum(histogram)


CRITERIA: dict[str, Callable[[Run, Iterable[Maps]], list[float]]] = {
    "prompts": costs_by_prompts,
    "li": costs_by_li,
    "otsu": costs_by_otsu,
}
"""Criterion -> the cost of each candidate."""
