"""Speed and memory of everything that iterates over the data, at 100, 1,000 and 10,000 images: both should stay flat.

    python benchmarks/flat_cost.py [--counts 100 1000]

For each count, a folder of tiny photographs (32 x 32 and 48 x 32) with tags. Measured are reading it, an epoch of stage
0, CAMs, pseudo masks and predictions with the bundled models, each in its own process: images per second, and the peak
of memory in megabytes above its level before the data was opened. Images are decoded each time they are used
(data.cache_mb 0), as in a data set that does not fit into memory. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from provenance import provenance
from semples.config import (
    CamsConfig,
    ClassifyConfig,
    Config,
    GuidanceConfig,
    PseudoMasksConfig,
)
from semples.data.folder import FolderConfig
from semples.data.images import write_image
from semples.files import write_text
from semples.models.generators.cam.settings import CamConfig
from semples.models.segmentation import build_segmentation_network
from semples.rundir.manifest import Manifest
from semples.runtime.cam_files import write_cams
from semples.runtime.context import Run
from semples.runtime.setup import open_run
from semples.stages.classify import train_classifier
from semples.stages.pipeline import STAGES
from semples.stages.pseudo_masks import pseudo_masks
from semples.verbs.prediction import predict
from speed import CLOCKS, peak_mb, reset_peak, resident_mb

CLASSES = ("boat", "train", "cat")
SIZES = ((32, 32), (32, 48))


def write_photographs(root: Path, count: int) -> None:
    """Write smooth random photographs and their tags."""
    draw = np.random.default_rng(0)
    lines = ["image,tags"]
    for index in range(count):
        height, width = SIZES[index % len(SIZES)]
        coarse = draw.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
        write_image(root / "images" / f"{index:05}.png", coarse.repeat(8, 0).repeat(8, 1))
        lines.append(f"{index:05}.png,{CLASSES[index % len(CLASSES)]}")
    write_text(root / "tags.csv", "\n".join(lines) + "\n")


def settings(root: Path) -> Config:
    """Return settings of the bundled models for images of this size."""
    return Config(
        data=FolderConfig(reader="folder", root=str(root), val_fraction=0.0, cache_mb=0),
        guidance=GuidanceConfig(enabled=False),
        mask_generator=CamConfig(image_size=32),
        classify=ClassifyConfig(epochs=1),
        cams=CamsConfig(scales=[1.0], flip=False),
        pseudo_masks=PseudoMasksConfig(refinement=[]),
        device="cpu",
    )


def open_and_digest(root: Path) -> Run:
    """Read the data set, and digest it as the pipeline does before each stage."""
    run = open_run(settings(root), root / "run", quiet=True)
    for stage in STAGES:
        stage.digest(run, Manifest(run.directory))
    return run


def predict_all(root: Path) -> None:
    """Predict every photograph with the bundled network."""
    model = root / "model"
    build_segmentation_network("bundled", CLASSES, 32).save(model)
    predict(model, [root / "images"], root / "predicted", overlays=False, quiet=True)


def write_untrained_cams(root: Path) -> None:
    """Write the CAMs of an untrained generator."""
    run = open_and_digest(root)
    write_cams(run, "classify", run.models.build_generator())


WALKS: dict[str, Callable[[Path], Any]] = {
    "open and digest": open_and_digest,
    "epoch of classify": lambda root: train_classifier(open_and_digest(root)),
    "CAMs": write_untrained_cams,
    "pseudo masks": lambda root: pseudo_masks(open_and_digest(root)),
    "predict": predict_all,
}
"""Name -> a walk over the data; the order matters, because masks are made from the CAMs."""


def measure(walk: str, root: Path, clock: Callable[[], float]) -> dict[str, float]:
    """Measure one walk in this process."""
    build_segmentation_network("bundled", CLASSES, 32)  # imports the libraries before the clock starts
    count = len((root / "tags.csv").read_text(encoding="utf-8").splitlines()) - 1
    before, started = resident_mb(), clock()
    reset_peak()
    WALKS[walk](root)
    seconds = clock() - started
    return {"images_per_second": round(count / seconds, 1), "peak_mb": round(peak_mb() - before)}


def in_own_process(walk: str, root: Path, args: argparse.Namespace) -> dict[str, float]:
    """Run :func:`measure` in a new process."""
    options = ["--threads", str(args.threads), "--clock", args.clock]
    command = [sys.executable, __file__, *options, "--measure", walk, str(root)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    figures: dict[str, float] = json.loads(answer.splitlines()[-1])
    return figures


def setting(args: argparse.Namespace) -> dict[str, Any]:
    """Return the circumstances of the figures, for the JSON line."""
    return {**provenance(), "threads": args.threads, "clock": args.clock}


def main() -> None:
    """Measure all walks; print a table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=tuple(CLOCKS), default="wall", help="processor: for a busy machine")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.measure:
        print(json.dumps(measure(args.measure[0], Path(args.measure[1]), CLOCKS[args.clock])))
        return
    started = time.perf_counter()
    results: dict[str, dict[int, Any]] = {walk: {} for walk in WALKS}
    for count in args.counts:
        with tempfile.TemporaryDirectory() as folder:
            write_photographs(Path(folder), count)
            for walk, figures in results.items():
                figures[count] = in_own_process(walk, Path(folder), args)
                speed, peak = figures[count]["images_per_second"], figures[count]["peak_mb"]
                print(f"{count:6} images  {walk:18} {speed:8.1f} images/s {peak:6} MB", flush=True)
    seconds = round(time.perf_counter() - started)
    print(json.dumps({**setting(args), "seconds": seconds, "results": results}))


if __name__ == "__main__":
    main()
