"""Time of each refinement per photograph, relative to pydensecrf2 with the paper's settings.

    python benchmarks/refinement.py [--data VOC_FOLDER] [--photographs 5] [--repeats 5]

Photographs (or noise without a folder) at 500 x 375, one thread, three smooth score maps: background and two classes;
CAMs for the affinity have 24 x 32 cells. The steps take turns on each photograph, after one turn to warm up. Times are
processor seconds, which exclude waiting for other programs. The last line is one JSON object: for each step the median
seconds, and the median, smallest and largest ratio to the dense CRF in the same turn.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor

from provenance import provenance
from semples.config import Config, PseudoMasksConfig
from semples.data.crops import to_pixels
from semples.data.images import read_image
from semples.method.affinity import spread_cams

SIZE = (375, 500)
GRID = (24, 32)
REFERENCE = "dense_crf"


def resized(maps: Tensor) -> Tensor:
    """Resize maps [C, h, w] to 375 x 500."""
    return F.interpolate(maps[None], SIZE, mode="bilinear", align_corners=False)[0]


def photographs(data: Path | None, count: int) -> list[Tensor]:
    """Return images [3, 375, 500] in [0, 1]: the first ones of a VOC folder, or noise at two scales."""
    if data is None:
        return [(resized(torch.rand(3, 12, 16)) + resized(torch.rand(3, 120, 160))) / 2 for _ in range(count)]
    paths = sorted((data / "JPEGImages").glob("*.jpg"))[:count]
    return [resized(to_pixels(read_image(path))) for path in paths]


def seconds(work: Callable[[], object]) -> float:
    """Return the processor seconds of one call."""
    started = time.process_time()
    work()
    return time.process_time() - started


def one_turn(image: Tensor) -> dict[str, float]:
    """Return the seconds of every step on one photograph."""
    scores = resized(torch.rand(3, *GRID))
    cams, affinity = torch.rand(1, 2, *GRID), torch.rand(1, GRID[0] * GRID[1], GRID[0] * GRID[1])
    config = Config(pseudo_masks=PseudoMasksConfig(refinement=["pixel_adaptive", "dense_crf"]))
    steps = {name: settings.step() for name, settings in config.refinement_steps().items()}
    times = {name: seconds(lambda step=step: step(image, scores)) for name, step in steps.items()}  # type: ignore[misc]
    return {**times, "affinity, 2 steps": seconds(lambda: spread_cams(cams, affinity, 2, 0.4))}


def summary(turns: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return the median seconds and the spread of the ratios, by step."""
    figures = {}
    for name in turns[0]:
        ratios = [turn[name] / turn[REFERENCE] for turn in turns]
        figures[name] = {
            "seconds": round(median(turn[name] for turn in turns), 4),
            "ratio": round(median(ratios), 3),
            "smallest_ratio": round(min(ratios), 3),
            "largest_ratio": round(max(ratios), 3),
        }
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="VOC folder with JPEGImages")
    parser.add_argument("--photographs", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images = photographs(arguments.data, arguments.photographs)
    one_turn(images[0])
    turns = [one_turn(image) for _ in range(arguments.repeats) for image in images]
    result = {
        "steps": summary(turns),
        "turns": len(turns),
        "photographs": "noise" if arguments.data is None else arguments.data.name,
        "size": SIZE,
        "threads": 1,
        **provenance(),
        "pydensecrf2": metadata.version("pydensecrf2"),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
