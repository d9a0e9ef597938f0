"""Progress and messages on standard error, and the log of a run's trainings."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from semples.files import write_text, writing
from semples.rundir.metrics import EpochMetrics, metrics_line, read_metrics

Item = TypeVar("Item", covariant=True)

Means = Callable[[], Mapping[str, Mapping[str, float]]]
"""Returns kind ("parts", "loss", ...) -> name -> mean over the epoch so far; the call waits for the device."""

SECONDS_BETWEEN_READINGS = 1.0
"""Largest age of the losses and speed on the terminal; between two readings no step waits for the device."""

SECONDS_OF_SPEED = 300.0
"""Period over which the speed is averaged for the remaining time: steps of large models take half a minute on a CPU."""


class Countable(Protocol[Item]):
    """An iterable of known length: a list, a data loader."""

    def __iter__(self) -> Iterator[Item]: ...

    def __len__(self) -> int: ...


class TrainingLog:
    """Appends one JSON line per epoch to metrics.jsonl, and shows progress and messages on standard error.

    Args:
        path: The file; None writes nothing.
        quiet: Show nothing on standard error. Otherwise messages are always shown, and progress on terminals only.
        console: Console to use in place of standard error.
    """

    def __init__(self, path: Path | None = None, quiet: bool = True, console: Console | None = None) -> None:
        self.path = path
        self._console = console or Console(stderr=True, highlight=False, quiet=quiet)
        # rich's own test is not enough: with FORCE_COLOR, which many CI systems set, it takes files for terminals.
        self.quiet = quiet or not (console.is_terminal if console else sys.stderr.isatty())

    def message(self, text: object) -> None:
        """Print one line on standard error."""
        self._console.print(str(text), soft_wrap=True, markup=False)

    def start(self, stage: str, epochs: int = 0) -> None:
        """Remove the lines of an earlier training of this stage, except its first ``epochs`` when it resumes."""
        if self.path is None or not self.path.is_file():
            return
        kept = [each for each in read_metrics(self.path) if each.stage != stage or each.epoch <= epochs]
        write_text(self.path, "".join(map(metrics_line, kept)))

    def write(self, metrics: EpochMetrics) -> None:
        """Append the line of an epoch.

        Raises:
            RunError: The file cannot be written.
        """
        if self.path is not None:
            with writing(self.path), self.path.open("a", encoding="utf-8") as file:
                file.write(metrics_line(metrics))

    @contextmanager
    def training(self, stage: str, epochs: int, steps: int, done: int = 0) -> Iterator[TrainingProgress]:
        """Show the progress of a training.

        Args:
            stage: Name of the stage.
            epochs: Number of epochs.
            steps: Steps in each epoch.
            done: Steps done by an earlier process.
        """
        with self.progress() as bars:
            yield TrainingProgress(bars, stage, epochs, steps, done)

    def track(self, items: Countable[Item], description: str) -> Iterator[Item]:
        """Iterate with a progress bar."""
        with self.progress() as bars:
            task = bars.add_task(description, total=len(items), note="")
            for item in items:
                yield item
                bars.advance(task)

    def progress(self) -> Progress:
        """Return progress bars on standard error, hidden unless it is a terminal; each task has a ``note`` field."""
        return _Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=self.quiet,
            speed_estimate_period=SECONDS_OF_SPEED,
        )


class _Bars(Progress):
    """Progress bars that show a task's ``below`` field, if it has one, on a line of its own."""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        for task in self.tasks:
            if below := task.fields.get("below"):
                yield Text(f"  {below}", style="dim", no_wrap=True, overflow="ellipsis")


class TrainingProgress:
    """Stage, epoch, losses by part, images per second and remaining time of one training.

    Args:
        bars: Bars to show it with; disabled bars cost nothing.
        stage: Name of the stage.
        epochs: Number of epochs.
        steps: Steps in each epoch.
        done: Steps done by an earlier process.
    """

    def __init__(self, bars: Progress, stage: str, epochs: int, steps: int, done: int = 0) -> None:
        self._bars, self._stage, self._epochs, self._steps, self._done = bars, stage, epochs, steps, done
        self._images, self._read_at = 0, time.monotonic()
        self._task: TaskID = bars.add_task(self._title(), total=epochs * steps, completed=done, note="")

    def advance(self, images: int, means: Means) -> None:
        """Count a step.

        Args:
            images: Number of images in it.
            means: Returns the losses so far. It is called at most once every :data:`SECONDS_BETWEEN_READINGS`, and
                only in a process with a terminal; it must not wait for other processes.
        """
        if self._bars.disable:
            return
        self._bars.update(self._task, advance=1, description=self._title())
        self._done += 1
        self._images += images
        passed = time.monotonic() - self._read_at
        if passed >= SECONDS_BETWEEN_READINGS:
            speed = f"{self._images / passed:.3g} images/s"
            self._bars.update(self._task, note=speed, below=losses_line(means()))
            self._images, self._read_at = 0, time.monotonic()

    def _title(self) -> str:
        epoch = min(self._done // max(1, self._steps) + 1, self._epochs)
        return f"{self._stage}  epoch {epoch}/{self._epochs}"


def losses_line(means: Mapping[str, Mapping[str, float]]) -> str:
    """Return the loss and its parts on one line.

    >>> losses_line({"loss": {"loss": 0.5}, "parts": {"pull": 0.375, "push": 0.125}, "figures": {"mask_area": 0.2}})
    'loss 0.5 = pull 0.375 + push 0.125'
    """
    parts = " + ".join(f"{name} {value:.3g}" for name, value in means["parts"].items())
    return f"loss {means['loss']['loss']:.3g} = {parts}"
