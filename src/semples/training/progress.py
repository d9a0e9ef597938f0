"""What people see of a run on standard error, and the log of its trainings."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from semples.files import write_text, writing

Item = TypeVar("Item", covariant=True)

Means = Callable[[], Mapping[str, Mapping[str, float]]]
"""Gives kind ("parts", "loss", ...) -> name -> mean over the epoch so far; reading them waits for the device."""

SECONDS_BETWEEN_READINGS = 1.0
"""Losses and speed on the terminal are at most this old; between two readings no step waits for the device."""

SECONDS_OF_SPEED = 300.0
"""The remaining time follows from the speed over so long; steps of large models take half a minute on a processor."""


class Countable(Protocol[Item]):
    """Something to iterate over whose length is known: a list, a data loader."""

    def __iter__(self) -> Iterator[Item]: ...

    def __len__(self) -> int: ...


class TrainingLog:
    """Appends one JSON line per epoch to metrics.jsonl, and shows progress and remarks on standard error.

    Args:
        path: The file; None writes none.
        quiet: Nothing on standard error. Where that is no terminal, remarks are shown and progress is not.
        console: Where to show them; None takes standard error.
    """

    def __init__(self, path: Path | None = None, quiet: bool = True, console: Console | None = None) -> None:
        self.path = path
        self._console = console or Console(stderr=True, highlight=False, quiet=quiet)
        # Not the console's own opinion: FORCE_COLOR, which many CI systems set, makes it draw into files.
        self.quiet = quiet or not (console.is_terminal if console else sys.stderr.isatty())

    def tell(self, text: object) -> None:
        """Print one line for people on standard error."""
        self._console.print(str(text), soft_wrap=True, markup=False)

    def start(self, stage: str, epochs: int = 0) -> None:
        """Forget the lines of an earlier training of this stage, but for the first epochs of one that goes on."""
        if self.path is None or not self.path.is_file():
            return
        known = ((line, _stage_and_epoch(line)) for line in _read_lines(self.path))
        kept = [line for line, (name, epoch) in known if name and (name != stage or epoch <= epochs)]
        write_text(self.path, "".join(f"{line}\n" for line in kept))

    def write(self, **values: Any) -> None:
        """Append one line."""
        if self.path is not None:
            with writing(self.path), self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(values) + "\n")

    @contextmanager
    def training(self, stage: str, epochs: int, steps: int, done: int = 0) -> Iterator[TrainingProgress]:
        """Show the progress of a training.

        Args:
            stage: Its name.
            epochs: Their number.
            steps: Steps in each.
            done: Steps that an earlier process did.
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
        """Make bars on standard error, hidden where that is no terminal; tasks have a ``note`` beside them."""
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
    """Progress bars, with the field ``below`` of those that have it on a line of its own."""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        for task in self.tasks:
            if below := task.fields.get("below"):
                yield Text(f"  {below}", style="dim", no_wrap=True, overflow="ellipsis")


class TrainingProgress:
    """Stage, epoch, losses by part, images per second and remaining time of one training.

    Args:
        bars: Where it is shown; disabled bars cost nothing.
        stage: Name of the stage.
        epochs: Their number.
        steps: Steps in each.
        done: Steps done before.
    """

    def __init__(self, bars: Progress, stage: str, epochs: int, steps: int, done: int = 0) -> None:
        self._bars, self._stage, self._epochs, self._steps, self._done = bars, stage, epochs, steps, done
        self._images, self._read_at = 0, time.monotonic()
        self._task: TaskID = bars.add_task(self._title(), total=epochs * steps, completed=done, note="")

    def advance(self, images: int, means: Means) -> None:
        """Count a step.

        Args:
            images: Images in it.
            means: Losses so far; called at most once in :data:`SECONDS_BETWEEN_READINGS`, and only in the process that
                has a terminal, so that it must not wait for others.
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


def _read_lines(path: Path) -> list[str]:
    """Lines of the log; what is no text in it makes a line that is about nothing."""
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def _stage_and_epoch(line: str) -> tuple[str, int]:
    """Read what a line of the log is about; a line that a kill or a full disk cut short is about nothing."""
    try:
        values = json.loads(line)
        return str(values["stage"]), int(values["epoch"])
    except (ValueError, KeyError, TypeError):
        return "", 0
