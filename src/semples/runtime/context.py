"""An open run: directory, settings, data set, models and device, as the stages receive it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

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
        directory: Where it writes.
        config: Its settings.
        dataset: The images that it works on.
        accelerator: Device and precision.
        log: Progress and losses.
    """

    directory: RunDirectory
    config: Config
    dataset: Dataset
    accelerator: Accelerator
    log: TrainingLog

    @property
    def device(self) -> torch.device:
        """Where models and batches live."""
        device = torch.device(self.accelerator.device)
        return torch.device("cpu") if device.type == "cpu" else device  # with several processes it is "cpu:0"

    @property
    def num_classes(self) -> int:
        """Number of object classes K."""
        return len(self.dataset.catalogue)

    @cached_property
    def models(self) -> RunModels:
        """Models of this run."""
        return RunModels(self.directory, self.config, self.dataset.catalogue, self.device)

    @cached_property
    def train_images(self) -> ImageCache:
        """Decoded training images, shared by all stages."""
        return ImageCache(self.dataset.train, self.config.data.cache_mb)

    @property
    def pseudo_mask_source(self) -> str:
        """Stage whose CAMs become pseudo masks."""
        return "refine" if self.config.guidance.enabled else "classify"

    @cached_property
    def averaged_labels(self) -> list[int] | None:
        """Mask values over which ``evaluation.classes`` takes the means; None for all.

        Raises:
            ConfigError: A name in it is not a class of the data set.
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
        """The user's own candidate words for prompts, or None.

        Raises:
            ConfigError: Their file cannot be read, or holds no words.
        """
        path = self.config.prompts.words
        return None if path is None else read_words_file(Path(path).expanduser())

    @property
    def arithmetic(self) -> dict[str, str | int]:
        """What decides the last bits of a result beside the settings: device, processes and, on CPUs, threads."""
        known: dict[str, str | int] = {
            "device": self.device.type,
            "precision": str(self.accelerator.mixed_precision),
        }
        if world_size() > 1:
            known["processes"] = world_size()
        return {**known, "threads": torch.get_num_threads()} if self.device.type == "cpu" else known

    def checkpoint(self, stage: str) -> Checkpoint:
        """Return the checkpoint of a stage's training; the pipeline removes it when the stage is done."""
        return Checkpoint(self.directory.checkpoint(stage), self.config.checkpoint_seconds)


@contextmanager
def result_of(stage: str) -> Iterator[None]:
    """Add which stage recreates a result to the error that says that it is missing or damaged.

    Raises:
        ResultError: In place of a DataError or ModelError.
    """
    try:
        yield
    except (DataError, ModelError) as error:
        raise ResultError(f"{error} (--force {stage} recreates it)") from error


def training_options(settings: OptimizerConfig) -> TrainingOptions:
    """Return what the training loop needs of a stage's settings."""
    return TrainingOptions(
        settings.epochs,
        settings.learning_rate,
        settings.weight_decay,
        settings.warmup,
        settings._section,
        accumulation=settings.accumulation,
    )
