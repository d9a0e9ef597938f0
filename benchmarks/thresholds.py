"""Distance to the oracle of criteria that choose a threshold without ground truth, on finished runs that have it.

    python benchmarks/thresholds.py RUN... [--stages classify,match,refine] [--images 0] [--stability 0]

For the CAMs of each named stage, unchanged ("cut") and after the run's own pixel_adaptive ("refined"): the oracle (the
best single threshold), and for each criterion its threshold, its mIoU and the distance to the oracle in points.
Criteria judge the 80 images of stage 4; mIoU is over all training images, or over ``--images`` of them.

- constant: 0.4;
- prompts: as in stage 4; three_terms: the same without the term of the prompt in the background;
- prompts_class: one threshold for each class; prompts_image: one for each image and class, shrunk toward the class
  (n0 = 10). A pixel then gets the class whose map is the furthest above its threshold;
- otsu: variance of the values; colors: variance of the image's colors within the regions of the label map;
- stability: Cohen's kappa between the masks of mirrored images at the smallest scale and of images at the largest, on
  ``--stability`` images, only for "cut".

The last line is one JSON object. Runs are only read.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from provenance import provenance
from semples.config.loading import load_config
from semples.data.crops import to_pixels
from semples.data.subsets import evenly_spaced
from semples.data.truth import read_truth
from semples.inference.cams import tagged_cams
from semples.inference.thresholds.base import FALLBACK, best_threshold
from semples.inference.thresholds.by_prompts import PromptsCriterion, RegionJudge
from semples.inference.thresholds.image_maps import ImageMaps
from semples.inference.thresholds.second_opinion import ValueHistogram
from semples.method.masks import winning_labels, with_background
from semples.method.metrics import THRESHOLDS, ConfusionMatrix
from semples.method.thresholds import CANDIDATES, otsu_costs, prompt_costs
from semples.rundir.layout import RunDirectory
from semples.runtime.context import Run
from semples.runtime.setup import read_dataset
from semples.runtime.threshold_choice import IMAGES, judged_maps
from semples.stages.evaluation import sweep_maps
from semples.training.devices import make_accelerator
from semples.training.progress import TrainingLog

PRIOR = 10
"""n0: number of images that the mean of a class counts as."""


def open_finished(directory: Path) -> Run:
    """Open a run without writing to it."""
    files = RunDirectory(directory)
    config = load_config(files.config)
    dataset = read_dataset(config, files)
    return Run(files, config, dataset, make_accelerator("cpu", "fp32"), TrainingLog(quiet=True))


def judge_of(run: Run) -> RegionJudge:
    """Build the judge of a run: its vision-language model with its texts and prompts."""
    models = run.models
    texts, prompts, left_out = models.class_features(), models.prompt_features(), models.left_out_classes()
    return RegionJudge(models.vision_language, models.match_score, texts, prompts, left_out)


@torch.no_grad()
def costs_of_pairs(run: Run, maps: Sequence[ImageMaps]) -> tuple[Tensor, Tensor]:
    """Return the costs [2, P, T] and classes [P] of all (image, class) pairs.

    The first costs have four terms; the second are without the term of the prompt in the background.
    """
    judge = judge_of(run)
    score, texts, prompts = judge.score, judge.texts, judge.prompts
    four, three = [], []
    for index, foreground, background in chain.from_iterable(judge.region_features(image) for image in maps):
        costs = prompt_costs(foreground, background, texts[index], prompts[index], score)
        four.append(costs)
        three.append(costs + score.log(background, prompts[index]))
    return torch.stack([torch.stack(four), torch.stack(three)]), torch.cat([image.classes for image in maps])


def color_costs(image: Tensor, labels: Tensor) -> Tensor:
    """Return the share [T] of an image's color variance [3, H, W] that is within regions of label maps [T, H, W]."""
    colors = image.double().flatten(1)
    colors = colors - colors.mean(1, keepdim=True)
    shares = []
    for regions in labels.flatten(1).long():
        count = torch.bincount(regions).clamp(min=1)
        sums = torch.zeros(3, len(count), dtype=torch.float64).index_add_(1, regions, colors)
        shares.append(1 - (sums.square() / count).sum() / colors.square().sum().clamp(min=1e-9))
    return torch.stack(shares)


def costs_by_colors(maps: Sequence[ImageMaps]) -> list[float]:
    """Return the mean of :func:`color_costs` over the images, for each candidate."""
    costs = [
        color_costs(
            m.read_image(), torch.stack([winning_labels(with_background(m.cams, t), m.classes) for t in CANDIDATES])
        )
        for m in maps
        if len(m.classes)
    ]
    return list(torch.stack(costs).mean(0).tolist())


def chance_corrected(first: Tensor, second: Tensor) -> list[float]:
    """Return 1 - Cohen's kappa of two sets of masks bool [T, N]; 1 where both are constant."""
    a, b = first.double().mean(1), second.double().mean(1)
    by_chance = a * (1 - b) + b * (1 - a)
    differing = (first != second).double().mean(1)
    return list(torch.where(by_chance > 0, differing / by_chance.clamp(min=1e-9), 1.0).tolist())


@torch.no_grad()
def costs_by_stability(run: Run, stage: str, count: int) -> list[float]:
    """Return the disagreement of mirrored images at the smallest scale with images at the largest, by candidate."""
    generator, scales = run.models.load_generator(stage), run.config.cams.scales
    views: tuple[list[Tensor], list[Tensor]] = ([], [])
    for index in evenly_spaced(range(len(run.dataset.train)), count):
        sample = run.dataset.train[index]
        pixels, classes = to_pixels(run.train_images[index])[None], ([sample.tags], run.num_classes)
        cams_of = partial(tagged_cams, generator, flip=False, affinity_steps=run.models.affinity_steps)
        (mirrored,) = cams_of(pixels.flip(-1), *classes, scales=[min(scales)])
        (large,) = cams_of(pixels, *classes, scales=[max(scales)])
        for view, cams in zip(views, (mirrored.flip(-1), large), strict=True):
            view.append(cams.flatten())
    first, second = (torch.cat(view) > torch.tensor(CANDIDATES)[:, None] for view in views)
    return chance_corrected(first, second)


def miou_at(run: Run, maps: Sequence[ImageMaps], thresholds: Callable[[int, Tensor], Tensor]) -> float:
    """Score maps cut at one threshold for each class: ``thresholds(position, classes [P])`` returns them [P]."""
    matrix = ConfusionMatrix(run.num_classes + 1, run.averaged_labels)
    for position, image in enumerate(maps):
        margins = image.cams - thresholds(position, image.classes)[:, None, None]
        matrix.update(
            winning_labels(with_background(margins, 0.0), image.classes).numpy(),
            read_truth(image.sample, run.num_classes),
        )
    return matrix.miou


def histogram_of(maps: Iterable[ImageMaps]) -> ValueHistogram:
    """Count the values of maps."""
    histogram = ValueHistogram()
    deque(histogram.watch(maps), maxlen=0)
    return histogram


def by_prompts(run: Run, maps: Sequence[ImageMaps], judged: Sequence[int]) -> dict[str, Any]:
    """Return the threshold, or the mIoU where there are several, of criteria that need the vision-language model."""
    (four, three), classes = costs_of_pairs(run, maps)
    positions = torch.cat([torch.full_like(image.classes, i) for i, image in enumerate(maps)])
    is_judged = torch.isin(positions, torch.tensor(judged))
    means = {int(c): four[is_judged & (classes == c)].mean(0) for c in classes[is_judged].unique()}
    whole = four[is_judged].mean(0)
    of_class = {index: best_threshold(means.get(index, whole).tolist()) for index in range(run.num_classes)}

    def of_pair(position: int, present: Tensor) -> Tensor:
        pairs = zip(four[positions == position], present.tolist(), strict=True)
        shrunk = [costs + PRIOR * means.get(index, whole) for costs, index in pairs]
        return torch.tensor([best_threshold(costs.tolist()) for costs in shrunk])

    return {
        "prompts": PromptsCriterion(judge_of(run))
        .decide(whole.tolist(), histogram_of(maps[i] for i in judged))
        .threshold,
        "three_terms": best_threshold(three[is_judged].mean(0).tolist()),
        "prompts_class": miou_at(run, maps, lambda _, present: torch.tensor([of_class[i] for i in present.tolist()])),
        "prompts_image": miou_at(run, maps, of_pair),
        "thresholds_class": {name: of_class[index] for index, name in enumerate(run.dataset.catalogue.names)},
    }


def measure(run: Run, stage: str, refined: bool, count: int, stability: int) -> dict[str, Any]:
    """Measure the oracle and the criteria on the CAMs of a stage."""
    indices = evenly_spaced(range(len(run.dataset.train)), count or len(run.dataset.train))
    maps = list(judged_maps(run, stage, indices, refined))
    sweep = sweep_maps(maps, run.num_classes, run.averaged_labels)
    best, oracle = sweep.best()
    judged = evenly_spaced(range(len(maps)), IMAGES)
    judged_images = [maps[position] for position in judged]
    chosen: dict[str, float] = {
        "constant": FALLBACK,
        "otsu": best_threshold(otsu_costs(histogram_of(judged_images).total(run.device)).tolist()),
        "colors": best_threshold(costs_by_colors(judged_images)),
    }
    if stability and not refined:
        chosen["stability"] = best_threshold(costs_by_stability(run, stage, stability))
    several: dict[str, float] = {}
    extra: dict[str, Any] = {}
    if run.config.guidance.enabled:
        prompted = by_prompts(run, maps, judged)
        chosen |= {name: prompted[name] for name in ("prompts", "three_terms")}
        several = {name: prompted[name] for name in ("prompts_class", "prompts_image")}
        extra = {"thresholds_class": prompted["thresholds_class"]}
    mious = {name: sweep.matrix_at(round(t * (len(THRESHOLDS) - 1))).miou for name, t in chosen.items()} | several
    return {
        "oracle": {"threshold": best, "miou": oracle.miou},
        "criteria": {
            name: {"threshold": chosen.get(name), "miou": miou, "points": 100 * (miou - oracle.miou)}
            for name, miou in mious.items()
        },
        **extra,
    }


def show(title: str, measured: dict[str, Any]) -> None:
    """Print one line for the oracle and one for each criterion."""
    print(f"{title}: oracle {100 * measured['oracle']['miou']:.1f} at {measured['oracle']['threshold']:.2f}")
    for name, entry in measured["criteria"].items():
        at = "" if entry["threshold"] is None else f" at {entry['threshold']:.2f}"
        print(f"  {name:14} {100 * entry['miou']:5.1f} ({entry['points']:+5.1f}){at}", flush=True)


def summary(results: dict[str, dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Return the mean and the worst distance to the oracle over the runs, by kind of CAMs and criterion."""
    points: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run in results.values():
        for kind, measured in run.items():
            for name, entry in measured["criteria"].items():
                points[kind][name].append(entry["points"])
    return {
        kind: {name: {"mean": fmean(p), "worst": min(p), "runs": len(p)} for name, p in by_name.items()}
        for kind, by_name in points.items()
    }


def main() -> None:
    """Measure all runs; print the figures and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--stages", default="classify,match,refine")
    parser.add_argument("--images", type=int, default=0, help="training images to score on; 0: all")
    parser.add_argument("--stability", type=int, default=0, help="images that stability is judged on; 0: none")
    args = parser.parse_args()
    torch.set_num_threads(1)
    results: dict[str, dict[str, Any]] = {}
    for directory in args.runs:
        run = open_finished(directory)
        by_kind = results[str(directory.name)] = {}
        for stage in args.stages.split(","):
            if not run.directory.cams(stage).is_dir():
                continue
            for form in ("cut", "refined"):
                measured = measure(run, stage, form == "refined", args.images, args.stability)
                by_kind[f"{stage} {form}"] = measured
                show(f"{directory.name} {stage} {form}", measured)
    total = summary(results)
    for kind, by_name in total.items():
        print(kind, "; ".join(f"{name} {e['mean']:+.1f} (worst {e['worst']:+.1f})" for name, e in by_name.items()))
    print(
        json.dumps(
            {**provenance(), "runs": results, "summary": total, "images_judged": IMAGES, "candidates": CANDIDATES}
        )
    )


if __name__ == "__main__":
    main()
