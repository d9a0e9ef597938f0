"""Opening a run: read the data set, choose the device, record the settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

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
from semples.method.refinement import load_dense_crf
from semples.parallel.processes import is_main_process, main_process_first
from semples.records import Dataset
from semples.rundir.dataset import read_dataset as read_recorded_dataset
from semples.rundir.dataset import write_dataset
from semples.rundir.layout import RunDirectory
from semples.runtime.environment import environment
from semples.runtime.image_checks import checking_images, record_skipped
from semples.runtime.run import Run
from semples.training.devices import make_accelerator
from semples.training.progress import TrainingLog


def open_run(config: Config, path: Path, quiet: bool = False) -> Run:
    """Read the data set that the settings name, and create the run directory.

    Nothing is written before the data set has been read without an error (scenes are drawn into it first).
    """
    directory = RunDirectory(path)
    accelerator = make_accelerator(config.device, config.precision)
    log = TrainingLog(directory.metrics, quiet) if is_main_process() else TrainingLog()
    with checking_images(config.data.skip_bad_images, log) as (size_of, bad):
        dataset = read_dataset(config, directory, size_of)
    run = Run(directory, config, dataset, accelerator, log)
    # A wrong name or a missing package is an error now, not after an hour of training.
    _ = run.averaged_labels, run.given_words, run.models.trains_generator
    if "dense_crf" in config.pseudo_masks.refinement:
        load_dense_crf()
    if is_main_process():
        save_config(config, directory.config, environment(str(run.device)))
        write_dataset(directory.dataset, dataset)
        record_skipped(directory.skipped, bad, log, dataset)
    return run


def reopen_run(path: Path, device: str | None = None) -> Run:
    """Open a finished run to use what it learned, on the recorded data set; nothing is written.

    Args:
        path: The run directory.
        device: Device to use in place of the one in its settings.

    Raises:
        DataError: It is not a run directory.
    """
    directory = RunDirectory(path)
    directory.require(directory.config, directory.dataset)
    config = load_config(directory.config, {} if device is None else {"device": device})
    dataset = read_recorded_dataset(directory.dataset)
    return Run(directory, config, dataset, make_accelerator(config.device, config.precision), TrainingLog())


def read_dataset(config: Config, directory: RunDirectory, size_of: SizeOf = image_size) -> Dataset:
    """Read the data set that the settings name; scenes without a root are drawn inside the run directory."""
    data = config.data
    if data.reader == "scenes":
        root = Path(data.root) if data.root else directory.scenes
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
