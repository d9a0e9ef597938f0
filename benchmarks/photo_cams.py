"""Stage 0 on real photographs, under the protocol of a published linear probe (CAM mIoU 0.41).

    python benchmarks/photo_cams.py --data VOC_FOLDER --backbone MOBILENET_FOLDER

600 training photographs that show only cats, dogs, horses, cows, sheep and people; CAMs of 100 such validation
photographs with their true tags, input 320 x 320, stride 16, min-max per class, one background threshold: the best one
on those 100 photographs, as in the protocol. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import torch.nn.functional as F

from provenance import provenance
from semples.config import ClassifyConfig, Config, GuidanceConfig
from semples.data.crops import resize, to_pixels
from semples.data.images import read_image, read_mask
from semples.data.voc import VocConfig, read_voc
from semples.inference.cams import tagged_cams
from semples.method.metrics import ThresholdSweep
from semples.models.generators.base import MaskGenerator
from semples.models.generators.cam.settings import CamConfig
from semples.records import ClassCatalogue, Dataset, Sample
from semples.rundir.layout import RunDirectory
from semples.runtime.context import Run
from semples.stages.classify import train_classifier
from semples.training.devices import make_accelerator, peak_memory_mb
from semples.training.progress import TrainingLog

SIX = ("cat", "dog", "horse", "cow", "sheep", "person")
SIDE = 320


def six_class_dataset(root: Path) -> Dataset:
    """Return the first 600 training and 100 validation photographs whose tags are all among the six."""
    whole = read_voc(root)
    position = {whole.catalogue.names.index(name): index for index, name in enumerate(SIX)}

    def chosen(samples: tuple[Sample, ...], count: int) -> tuple[Sample, ...]:
        kept = [s for s in samples if set(s.tags) <= set(position)][:count]
        return tuple(
            Sample(s.id, s.path, s.size, tuple(sorted(position[t] for t in s.tags)), s.mask_path) for s in kept
        )

    return Dataset(ClassCatalogue(SIX, SIX), chosen(whole.train, 600), chosen(whole.val, 100))


def truth_in_six(sample: Sample, names: tuple[str, ...]) -> np.ndarray:
    """Return ground truth with the six classes as 1 to 6, and 255 unchanged; other labels do not occur."""
    assert sample.mask_path is not None
    mask = read_mask(sample.mask_path, sample.size, len(names))
    table = np.zeros(256, np.uint8)
    table[255] = 255
    for index, name in enumerate(SIX, start=1):
        table[names.index(name) + 1] = index
    return np.asarray(table[mask])


def score(
    generator: MaskGenerator, samples: tuple[Sample, ...], scales: list[float], names: tuple[str, ...]
) -> dict[str, float]:
    """Score the CAMs of tagged classes at the best single threshold."""
    sweep = ThresholdSweep(len(SIX) + 1)
    for sample in samples:
        pixels = to_pixels(resize(read_image(sample.path), SIDE))[None]
        (maps,) = tagged_cams(generator, pixels, [sample.tags], len(SIX), scales, flip=True)
        maps = F.interpolate(maps[None], sample.size, mode="bilinear", align_corners=False)[0].clamp(0, 1)
        sweep.update((maps * 255).round().to(torch.uint8).numpy(), sample.tags, truth_in_six(sample, names))
    threshold, matrix = sweep.best()
    return {"miou": matrix.miou, "threshold": threshold}


def main() -> None:
    """Train stage 0 and score it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--epochs", type=int, default=6)
    args = parser.parse_args()
    dataset = six_class_dataset(args.data)
    config = Config(
        data=VocConfig(reader="voc", root=str(args.data)),
        guidance=GuidanceConfig(enabled=False),
        mask_generator=CamConfig(
            backbone=args.backbone, output_stride=16, kernel_size=1, image_size=SIDE, crop_scale=0.4
        ),
        classify=ClassifyConfig(epochs=args.epochs, batch_size=16, learning_rate=1e-3),
    )
    started = time.perf_counter()
    with TemporaryDirectory() as folder:
        run = Run(
            RunDirectory(Path(folder)), config, dataset, make_accelerator("cpu", "fp32"), TrainingLog(quiet=False)
        )
        generator = train_classifier(run).eval()
    seconds = time.perf_counter() - started
    names = read_voc(args.data).catalogue.names
    result = {
        **provenance(),
        "train": len(dataset.train),
        "val": len(dataset.val),
        "one scale": score(generator, dataset.val, [1.0], names),
        "scales 1.0, 1.5": score(generator, dataset.val, [1.0, 1.5], names),
        "training_seconds": round(seconds),
        "peak_memory_mb": round(peak_memory_mb()),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
