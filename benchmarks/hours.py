"""Expected hours of the paper's recipes, from counted operations and a measured or assumed rate.

    python benchmarks/hours.py                    # hours at an assumed 30 TFLOP/s per device
    python benchmarks/hours.py --measure          # hours at the rate that this machine reaches in stage 3
    python benchmarks/hours.py --devices 8

Torch counts the floating-point operations of one step of each stage as it runs (random weights, real sizes: CLIP
ViT-B/32, WeakTr on DeiT-S, SegFormer-B2); they are multiplied by the steps of the recipe. Work outside of networks
(decoding, augmentation) is not counted. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import SegformerConfig, SegformerForSemanticSegmentation

from provenance import provenance
from real_sizes import BATCH, PROMPT_BATCH, SIDE, build_step, build_weaktr_generator, make_labels
from semples.method.losses import classification_loss

SEGMENTATION_SIDE = 512
SEGFORMER_B2 = {
    "depths": [3, 4, 6, 3],
    "hidden_sizes": [64, 128, 320, 512],
    "decoder_hidden_size": 768,
}
"""Sizes of the published SegFormer-B2."""


@dataclass(frozen=True)
class Recipe:
    """Sizes of a recipe in ``configs/``.

    Attributes:
        images: Training images.
        regions: Background regions: (image, class) pairs of the training set, roughly.
        epochs: Epochs of stages 0 to 3.
        segmentation_crops: Crops that stage 5 trains on.
    """

    images: int
    regions: int
    epochs: int
    segmentation_crops: int

    def passes_by_stage(self) -> dict[str, int]:
        """Return a mapping: stage -> images (prompts: regions) that pass through its training steps or inference."""
        passes = self.images * self.epochs
        return {
            "classify": passes,
            "match": passes,
            "prompts": self.regions * self.epochs,
            "refine": passes,
            "inference": 3 * self.images,
            "segment": self.segmentation_crops,
        }


RECIPES = {
    "voc2012": Recipe(images=10_582, regions=15_000, epochs=60, segmentation_crops=40_000 * 16),
    "coco2014": Recipe(images=82_081, regions=238_000, epochs=60, segmentation_crops=80_000 * 16),
}
"""Recipe -> its sizes (``docs/recipes.md``)."""


def build_classify_step() -> Callable[[], Any]:
    """Build a training step of stage 0: all of WeakTr, head and trunk."""
    generator = build_weaktr_generator()
    pixels, labels = torch.rand(BATCH, 3, SIDE, SIDE), make_labels()

    def step() -> None:
        parts = classification_loss(generator(pixels).logits, labels)
        torch.stack(list(parts.values())).sum().backward()

    return step


def build_segment_forward() -> Callable[[], Any]:
    """Build the forward pass of stage 5 on one crop."""
    settings = SegformerConfig(num_labels=21, attn_implementation="eager", **SEGFORMER_B2)
    network = SegformerForSemanticSegmentation(settings)
    pixels = torch.rand(1, 3, SEGMENTATION_SIDE, SEGMENTATION_SIDE)
    return torch.no_grad()(lambda: network(pixels))


STEPS: dict[str, tuple[Callable[[], Callable[[], Any]], float]] = {
    "classify": (build_classify_step, BATCH),
    "match": (lambda: build_step("match"), BATCH),
    "prompts": (lambda: build_step("prompts"), PROMPT_BATCH),
    "refine": (lambda: build_step("refine"), BATCH),
    "inference": (lambda: build_step("inference"), 1),
    # A backward pass costs two forward passes; torch overcounts the backward pass of grouped convolutions.
    "segment": (build_segment_forward, 1 / 3),
}
"""Stage -> function that builds its step, and the number of images (regions) per step."""


def count_operations(stage: str) -> float:
    """Return the floating-point operations per image (region) of a stage; a multiplication with addition is two."""
    build, images = STEPS[stage]
    step = build()
    with FlopCounterMode(display=False) as counter:
        step()
    return float(counter.get_total_flops()) / images


def measure_rate(repeats: int) -> float:
    """Return the operations per second that this machine reaches in stage 3."""
    build, images = STEPS["refine"]
    step, seconds = build(), []
    for _ in range(1 + repeats):
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    return count_operations("refine") * images / statistics.median(seconds[1:])


def hours_of(recipe: Recipe, operations: dict[str, float], rate: float) -> dict[str, float]:
    """Return a mapping: stage -> hours at ``rate`` operations per second."""
    return {stage: count * operations[stage] / rate / 3600 for stage, count in recipe.passes_by_stage().items()}


def main() -> None:
    """Count the operations; print a table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--tflops", type=float, default=30.0, help="sustained rate of one device, in 10^12 operations per second"
    )
    parser.add_argument("--devices", type=int, default=1, help="number of devices that share the work without loss")
    parser.add_argument("--measure", action="store_true", help="use the rate of this machine instead")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.manual_seed(0)
    rate = measure_rate(args.repeats) if args.measure else args.tflops * 1e12
    operations = {stage: count_operations(stage) for stage in STEPS}
    hours = {name: hours_of(recipe, operations, rate * args.devices) for name, recipe in RECIPES.items()}
    print(f"{'stage':10} {'GFLOP each':>11}  " + "  ".join(f"{name + ' h':>11}" for name in hours))
    for stage in STEPS:
        row = "  ".join(f"{hours[name][stage]:11.2f}" for name in hours)
        print(f"{stage:10} {operations[stage] / 1e9:11.1f}  {row}")
    print(f"{'all':10} {'':11}  " + "  ".join(f"{sum(by_stage.values()):11.2f}" for by_stage in hours.values()))
    record = {**provenance(), "tflops": rate / 1e12, "devices": args.devices, "measured": args.measure}
    print(json.dumps({**record, "gflop": {stage: n / 1e9 for stage, n in operations.items()}, "hours": hours}))


if __name__ == "__main__":
    main()
