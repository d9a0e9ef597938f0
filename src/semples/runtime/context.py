"""An open run, as stages receive it: directory, settings, data set, models and device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
from accelerate import Accelerator

from semples.config import Config, OptimizerConfig
from semples.data.crops import ImageCache
from semples.errors import ConfigError, DataError, ModelError, ResultError, did_you_mean
from semples.parallel.processes import world_size
from semples.records import Dataset
from semples.rundir.layout import RunDirectory
from semples.runtime.models import RunModels
from semples.runtime.words_file import read_words_file
from semples.training.checkpoints import Checkpoint
from semples.training.loop import TrainingOptions
from semples.training.progress import TrainingLog


@dataclass(frozen=True)
class Run:
    """An open run.

    Attributes:
        directory: The run directory.
        config: Settings of the run.
        dataset: Classes, training images and held-out images.
        accelerator: Device and precision.
        log: Progress bars and losses.
    """

    directory: RunDirectory
    config: Config
    dataset: Dataset
    accelerator: Accelerator
    log: TrainingLog

    @property
    def device(self) -> torch.device:
        """Device of models and batches."""
        device = torch.device(self.accelerator.device)
        return torch.device("cpu") if device.type == "cpu" else device  # Accelerate says "cpu:0" in several processes

    @property
    def num_classes(self) -> int:
        """Number of object classes K."""
        return len(self.dataset.catalogue)

    @cached_property
    def models(self) -> RunModels:
        """Models of the run."""
        return RunModels(self.directory, self.config, self.dataset.catalogue, self.device, self.log.message)

    @cached_property
    def train_images(self) -> ImageCache:
        """Decoded training images, shared by all stages."""
        return ImageCache(self.dataset.train, self.config.data.cache_mb)

    @property
    def pseudo_mask_source(self) -> str:
        """Name of the stage whose CAMs become pseudo masks."""
        return "refine" if self.config.guidance.enabled else "classify"

    @cached_property
    def averaged_labels(self) -> list[int] | None:
        """Mask values of the setting ``evaluation.classes``, over which means are taken; None for all.

        Raises:
            ConfigError: A name in the setting is not a class of the data set.
        """
        chosen = self.config.evaluation.classes
        if chosen is None:
            return None
        names = ("background", *self.dataset.catalogue.names)
        unknown = [name for name in chosen if name not in names]
        if unknown:
            raise ConfigError(
                f'evaluation.classes: "{unknown[0]}" is not a class of the data set; expected background or any of '
                f"{', '.join(names[1:])}{did_you_mean(unknown[0], names)}"
            )
        return sorted({names.index(name) for name in chosen})

    @cached_property
    def given_words(self) -> list[str] | None:
        """The words of a file to describe prompts with (``prompts.words``), or None.

        Raises:
            ConfigError: Their file cannot be read, or has no words in it.
        """
        name = self.config.prompts.words
        return None if name is None else read_words_file(name)

    @property
    def arithmetic(self) -> dict[str, str | int]:
        """Everything besides the settings that can change the last bits of a result.

        Device and precision; the number of processes if there are several; on CPUs the number of threads.
        """
        known: dict[str, str | int] = {
            "device": self.device.type,
            "precision": str(self.accelerator.mixed_precision),
        }
        if world_size() > 1:
            known["processes"] = world_size()
        if self.device.type == "cpu":
            known["threads"] = torch.get_num_threads()
        return known

    def checkpoint(self, stage: str) -> Checkpoint:
        """Return the checkpoint of a stage's training, which the pipeline removes when the stage is done."""
        return Checkpoint(self.directory.checkpoint(stage), self.config.checkpoint_seconds)


@contextmanager
def result_of(stage: str) -> Iterator[None]:
    """Turn an error about a missing or damaged result into one that names the stage to repeat.

    Raises:
        ResultError: The block raised a DataError or ModelError.
    """
    try:
        yield
    except (DataError, ModelError) as error:
        raise ResultError(f"{error} (--force {stage} recreates it)") from error


def training_options(settings: OptimizerConfig) -> TrainingOptions:
    """Return the options of the training loop for the settings of a stage."""
    return TrainingOptions(
        settings.epochs,
        settings.learning_rate,
        settings.weight_decay,
        settings.warmup,
        settings._section,
        accumulation=settings.accumulation,
    )
