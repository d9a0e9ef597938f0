"""Peak memory and time of a step of stage 3 whose regions are encoded in parts, compared with one pass.

    python benchmarks/guided_memory.py

The bundled model of photographs, smooth random images of 256 px, 16 of them with two or three classes each. One pass
encodes all regions together, and keeps the graph of them all. Each form runs in its own process: one warm-up, then
repeats; memory is the peak above the level before the first step. The last line is one JSON object with medians, and
with the difference of the losses and the largest one of the CAMs' gradient, as a share of its largest value.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from provenance import provenance
from semples.method.losses import MatchScore, total
from semples.models.generators.base import MaskGeneratorOutput
from semples.models.vision_language.loading import load_vision_language_model
from semples.models.vision_language.model import VisionLanguageModel
from semples.stages.guided import GuidedStep, with_pairs
from semples.training.devices import peak_memory_mb
from sizes import smooth
from weaktr_memory import resident_mb

FORMS = ("parts", "one pass")
WORDS = ("grass", "sky", "water", "road", "house", "tree")


class FreeCams(nn.Module):
    """A generator that costs nothing: its CAMs are parameters."""

    def __init__(self, images: int) -> None:
        super().__init__()
        maps = smooth(torch.Generator().manual_seed(1), 2 * images, (16, 16))  # three channels each
        self.cams = nn.Parameter(maps.reshape(images, len(WORDS), 16, 16))

    def forward(self, pixels: Tensor, labels: Tensor) -> MaskGeneratorOutput:  # noqa: ARG002
        return MaskGeneratorOutput(self.cams, {})


def make_batch(images: int, side: int) -> dict[str, Tensor]:
    """Make a batch of images with classes i, i + 1 and, every other one, i + 3 of six."""
    pixels = smooth(torch.Generator().manual_seed(0), images, (side, side))
    labels = torch.zeros(images, len(WORDS))
    for i in range(images):
        labels[i, [(i + step) % len(WORDS) for step in ((0, 1) if i % 2 else (0, 1, 3))]] = 1
    return with_pairs([{"pixels": image, "labels": row} for image, row in zip(pixels, labels, strict=True)])


def measure(form: str, args: argparse.Namespace) -> dict[str, Any]:
    """Measure one form in this process."""
    torch.set_num_threads(args.threads)
    model, batch = load_vision_language_model(args.model), make_batch(args.images, args.side)
    with torch.no_grad():
        texts = model.encode_classes(WORDS)
    generator = FreeCams(args.images)
    step = GuidedStep(model, MatchScore("sigmoid"), texts, 1.0, True, texts.roll(1, 0), 0.3)
    before, seconds = resident_mb(), []
    limit = model.images_at_once if form == "parts" else sys.maxsize
    with patch.object(VisionLanguageModel, "images_at_once", limit):
        for _ in range(1 + args.repeats):
            generator.zero_grad()
            started = time.perf_counter()
            loss = total(step(generator, batch).parts)
            loss.backward()
            seconds.append(time.perf_counter() - started)
    assert generator.cams.grad is not None
    return {
        "peak_mb": round(peak_memory_mb() - before),
        "seconds": round(statistics.median(seconds[1:]), 3),
        "range": [round(min(seconds[1:]), 3), round(max(seconds[1:]), 3)],
        "regions": 2 * len(batch["class_index"]),
        "loss": loss.item(),
        "gradient": generator.cams.grad.flatten().tolist(),
    }


def main() -> None:
    """Measure both forms; print a table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bundled/photos")
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--measure", choices=FORMS, help="one form in this process, as JSON")
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(args.measure, args)))
        return
    results: dict[str, Any] = {}
    for form in FORMS:
        command = [sys.executable, __file__, *sys.argv[1:], "--measure", form]
        results[form] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(f"{form:9} {results[form]['peak_mb']:6} MB {results[form]['seconds']:8.3f} s")
    gradients = [torch.tensor(result.pop("gradient")) for result in results.values()]
    losses = [result.pop("loss") for result in results.values()]
    apart = float((gradients[0] - gradients[1]).abs().max() / gradients[1].abs().max())
    difference = {"loss": abs(losses[0] - losses[1]), "gradient": apart}
    setting = {"model": args.model, "images": args.images, "side": args.side, "threads": args.threads}
    print(json.dumps({**provenance(), **setting, "difference": difference, "results": results}))


if __name__ == "__main__":
    main()
