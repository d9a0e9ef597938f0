"""Opening a run: read the data set, choose the device, record what the run is."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from semples.config import Config
from semples.config.loading import load_config, save_config
from semples.data.catalogues import VOC, catalogue_from_names
from semples.data.coco import read_coco
from semples.data.custom import read_own
from semples.data.folder import read_folder
from semples.data.images import image_size
from semples.data.scenes.reader import SceneSettings, read_scenes
from semples.data.validation import SizeOf
from semples.data.voc import read_voc
from semples.files import write_json
from semples.method.refinement import load_dense_crf
from semples.parallel.processes import is_main_process, main_process_first
from semples.records import Dataset, Sample
from semples.rundir.dataset import read_dataset_index, require_run
from semples.runtime.image_checks import SKIPPED_FILE, record_skipped, skipping
from semples.runtime.run import Run
from semples.training.devices import make_accelerator
from semples.training.progress import TrainingLog


def open_run(config: Config, directory: Path, quiet: bool = False) -> Run:
    """Read the data set of a config and make its run directory.

    Nothing is written before the data set has been read without an error (scenes are drawn into it first).
    """
    accelerator = make_accelerator(config.device, config.precision)
    log = TrainingLog(directory / "metrics.jsonl", quiet) if is_main_process() else TrainingLog()
    with skipping(config.data.skip_bad_images, log) as (size_of, skipped):
        dataset = read_dataset(config, directory, size_of)
    run = Run(directory, config, dataset, accelerator, log)
    # A wrong name or a missing package is told now, not after an hour of training.
    _ = run.averaged_labels, run.given_words, run.trains_generator
    if "dense_crf" in config.pseudo_masks.refinement:
        load_dense_crf()
    if is_main_process():
        save_config(config, directory / "config.yaml", _environment(run))
        write_json(directory / "dataset.json", _index(dataset))
        record_skipped(directory / SKIPPED_FILE, skipped, log, dataset)
    return run


def reopen_run(directory: Path, device: str | None = None) -> Run:
    """Open a run directory to use what it learned; the data set is the recorded one, and nothing is written.

    Args:
        directory: The run directory.
        device: Device to use in place of the one in its settings.

    Raises:
        DataError: That is no run directory.
    """
    require_run(directory, "config.yaml", "dataset.json")
    config = load_config(directory / "config.yaml", {} if device is None else {"device": device})
    dataset = read_dataset_index(directory / "dataset.json")
    return Run(directory, config, dataset, make_accelerator(config.device, config.precision), TrainingLog())


def read_dataset(config: Config, directory: Path, size_of: SizeOf = image_size) -> Dataset:
    """Read the data set that the config names; scenes without a root are drawn inside the run directory."""
    data = config.data
    if data.reader == "scenes":
        root = Path(data.root) if data.root else directory / "scenes"
        settings = SceneSettings(data.pairs, data.bias, data.image_size, data.train_size, data.val_size, config.seed)
        with main_process_first():  # and draws them
            return read_scenes(root, settings, data.prompt_names)
    root = Path(data.root or "")
    if data.reader == "voc":
        words = dict(zip(VOC.names, VOC.prompt_names, strict=True)) | data.prompt_names
        catalogue = catalogue_from_names(VOC.names, words)
        return read_voc(root, data.train_split, data.val_split, data.labels, catalogue=catalogue, size_of=size_of)
    if data.reader == "coco":
        return read_coco(
            root,
            data.train_annotations,
            data.val_annotations,
            data.train_images,
            data.val_images,
            data.labels,
            data.prompt_names,
            size_of,
        )
    if data.reader != "folder":
        own = read_own(data.reader, root, data.prompt_names)
        train, val = (tuple(s for s in part if size_of(s.path) is not None) for part in (own.train, own.val))
        return replace(own, train=train, val=val)
    return read_folder(root, data.classes, data.prompt_names, data.val_fraction, config.seed, size_of)


def _environment(run: Run) -> dict[str, Any]:
    """Versions, commit and device."""
    packages = ("semples", "torch", "transformers", "accelerate", "kornia", "numpy", "pillow")
    return {
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in packages},
        "commit": source_commit(),
        "device": str(run.device),
    }


def source_commit() -> str | None:
    """Commit of the source tree that this package was imported from, or None where there is none."""
    here = Path(__file__).resolve().parent
    command = ["git", "-C", str(here), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _index(dataset: Dataset) -> dict[str, Any]:
    """What later tools need to know of the images: no masks among it."""

    def entries(samples: Sequence[Sample]) -> list[dict[str, Any]]:
        return [
            {
                "id": sample.id,
                "path": str(sample.path.resolve()),
                "height": sample.size[0],
                "width": sample.size[1],
                "tags": list(sample.tags),
            }
            for sample in samples
        ]

    return {
        "classes": list(dataset.catalogue.names),
        "prompt_names": list(dataset.catalogue.prompt_names),
        "category_ids": list(dataset.catalogue.category_ids),
        "train": entries(dataset.train),
        "val": entries(dataset.val),
    }
