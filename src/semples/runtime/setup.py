"""Opening a run: reading the data set, choosing the device, recording the settings."""

from __future__ import annotations

from pathlib import Path

from semples.config import Config
from semples.config.loading import load_config, save_config
from semples.data.catalogues import words_of_classes
from semples.data.images import image_size
from semples.data.validation import SizeOf
from semples.parallel.processes import is_main_process, main_process_first
from semples.records import Dataset
from semples.rundir.dataset import read_dataset as read_recorded_dataset
from semples.rundir.dataset import write_dataset
from semples.rundir.layout import RunDirectory
from semples.runtime.context import Run
from semples.runtime.environment import environment
from semples.runtime.image_checks import checking_images, record_skipped
from semples.training.devices import make_accelerator
from semples.training.progress import TrainingLog


def open_run(config: Config, path: Path, quiet: bool = False) -> Run:
    """Read the data set that the settings name, and create the run directory.

    Nothing is written before the data set has been read without an error, except scenes, which are drawn first.
    """
    directory = RunDirectory(path)
    accelerator = make_accelerator(config.device, config.precision)
    log = TrainingLog(directory.metrics, quiet) if is_main_process() else TrainingLog()
    with checking_images(config.data.skip_bad_images, log) as (size_of, bad):
        dataset = read_dataset(config, directory, size_of)
    run = Run(directory, config, dataset, accelerator, log)
    # Evaluated here so that a wrong name or a missing package fails now, not after an hour of training.
    _ = run.averaged_labels, run.given_words, run.models.trains_generator
    for refinement in config.refinement_steps().values():
        refinement.check_installed()
    if is_main_process():
        save_config(config, directory.config, environment(str(run.device)))
        write_dataset(directory.dataset, dataset)
        record_skipped(directory.skipped, bad, log, dataset)
    return run


def reopen_run(path: Path, device: str | None = None) -> Run:
    """Open a finished run on its recorded data set, to use what it has learned; write nothing.

    Args:
        path: The run directory.
        device: Device to use instead of the one in its settings.

    Raises:
        DataError: It is not a run directory.
    """
    directory = RunDirectory(path)
    directory.require(directory.config, directory.dataset)
    config = load_config(directory.config, {} if device is None else {"device": device}, is_recorded=True)
    dataset = read_recorded_dataset(directory.dataset)
    return Run(directory, config, dataset, make_accelerator(config.device, config.precision), TrainingLog())


def read_dataset(config: Config, directory: RunDirectory, size_of: SizeOf = image_size) -> Dataset:
    """Read the data set that the settings name; scenes without a root are drawn inside the run directory.

    The main process goes first, because a reader may have to create the data set.

    Raises:
        ConfigError: A class in ``data.background_words`` does not exist.
    """
    with main_process_first():
        dataset: Dataset = config.data.read(directory.scenes, config.seed, size_of)
    words_of_classes("data.background_words", config.data.background_words, dataset.catalogue.names)  # checks them
    return dataset
