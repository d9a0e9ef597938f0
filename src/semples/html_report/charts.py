"""Computes the geometry of the line charts, which the template draws as SVG."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from semples.rundir.metrics import EpochMetrics
from semples.rundir.words import LearnedWords

WIDTH, HEIGHT = 360, 200
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 10, 26
"""Size and margins of a chart, in SVG units."""
FOLLOWED_WORDS = 3
"""Number of the last epoch's nearest words whose similarity is drawn over the epochs."""


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: its position in SVG units, and its label."""

    position: float
    label: str


@dataclass(frozen=True)
class Point:
    """A point of a line in SVG units, and its tooltip."""

    x: float
    y: float
    label: str


@dataclass(frozen=True)
class Line:
    """A named curve; ``last`` is its newest finite value."""

    name: str
    points: tuple[Point, ...]
    last: float

    @property
    def path(self) -> str:
        """Return the ``points`` attribute of an SVG polyline."""
        return " ".join(f"{point.x:g},{point.y:g}" for point in self.points)


@dataclass(frozen=True)
class Chart:
    """Curves over epochs; ``label`` describes them to screen readers."""

    label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Training:
    """Loss curves of one stage, its first and last learning rate, and its median speed."""

    title: str
    chart: Chart
    learning_rates: tuple[float, float] | None
    images_per_second: float | None


def trainings(epochs: Sequence[EpochMetrics]) -> list[Training]:
    """Chart the training of each stage, in the order in which the stages trained."""
    stages = dict.fromkeys(epoch.stage for epoch in epochs)
    grouped = [[epoch for epoch in epochs if epoch.stage == stage] for stage in stages]
    return [_training(sorted(group, key=lambda epoch: epoch.epoch)) for group in grouped]


def word_chart(words: LearnedWords, name: str) -> Chart | None:
    """Chart the similarity of the last epoch's nearest words to a class's prompt over the epochs.

    None if there are fewer than two epochs, or if the last one has no words.
    """
    epochs = list(zip(words.epochs, words.words[name], strict=False))
    if len(epochs) < 2 or not epochs[-1][1]:
        return None
    followed = [word for word, _ in epochs[-1][1][:FOLLOWED_WORDS]]
    curves: dict[str, dict[int, float]] = {word: {} for word in followed}
    for epoch, nearest in epochs:
        for word, score in nearest:
            if word in curves and math.isfinite(score):
                curves[word][epoch] = score
    return _chart(f"Words nearest to the prompt of {name} over epochs", curves, epochs[0][0], epochs[-1][0])


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """List the multiples of 1, 2 or 5 times a power of ten within [low, high], about ``count`` of them at most.

    >>> nice_ticks(0.0, 1.0)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    step = _nice_step((high - low) / count)
    # The tolerance keeps a bound that is itself a multiple of the step, in spite of rounding (0.3 / 0.1 < 3).
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _nice_step(rough: float) -> float:
    """Return the smallest 1, 2 or 5 times a power of ten that is not below a rough step."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))


def _training(epochs: list[EpochMetrics]) -> Training:
    rates = [epoch.learning_rate for epoch in epochs if math.isfinite(epoch.learning_rate)]
    speeds = [epoch.images_per_second for epoch in epochs if math.isfinite(epoch.images_per_second)]
    stage = epochs[0].stage
    return Training(
        title=stage,
        chart=_chart(f"Loss of {stage} over epochs", _curves(epochs), epochs[0].epoch, epochs[-1].epoch),
        learning_rates=(rates[0], rates[-1]) if rates else None,
        images_per_second=statistics.median(speeds) if speeds else None,
    )


def _chart(label: str, curves: dict[str, dict[int, float]], first: int, last: int) -> Chart:
    """Scale curves {name: {epoch: value}} to SVG units; ``first`` and ``last`` are the epochs at the chart's edges."""
    low, high = _range([value for curve in curves.values() for value in curve.values()])
    last = max(last, first + 1)  # a single epoch still needs an axis with a length

    def x_of(epoch: float) -> float:
        return round(LEFT + (epoch - first) / (last - first) * (WIDTH - LEFT - RIGHT), 2)

    def y_of(value: float) -> float:  # SVG's y axis points down
        return round(TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM), 2)

    def line(name: str, curve: dict[int, float]) -> Line:
        points = [Point(x_of(x), y_of(y), f"{name}, epoch {x}: {y:.4g}") for x, y in curve.items()]
        return Line(name, tuple(points), last=list(curve.values())[-1])

    x_ticks = [tick for tick in nice_ticks(first, last) if tick == int(tick)]  # epochs are whole numbers
    return Chart(
        label=label,
        x_ticks=tuple(Tick(x_of(tick), f"{tick:.0f}") for tick in x_ticks),
        y_ticks=tuple(Tick(y_of(tick), f"{tick:g}") for tick in nice_ticks(low, high)),
        lines=tuple(line(name, curve) for name, curve in curves.items() if curve),
    )


def _curves(epochs: list[EpochMetrics]) -> dict[str, dict[int, float]]:
    """Return {part: {epoch: finite loss}}, the total first; a single part is left out, as it equals the total."""
    names = list(dict.fromkeys(name for epoch in epochs for name in epoch.parts))
    curves = {"total": {epoch.epoch: epoch.loss for epoch in epochs}}
    if len(names) > 1:
        for name in names:
            curves[name] = {epoch.epoch: epoch.parts[name] for epoch in epochs if name in epoch.parts}
    return {name: {x: y for x, y in curve.items() if math.isfinite(y)} for name, curve in curves.items()}


def _range(values: list[float]) -> tuple[float, float]:
    """Return the range of the y axis: the values' own with a margin of 5 %, never empty."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    margin = (high - low) * 0.05 or abs(high) * 0.1 or 1.0
    return low - margin, high + margin
