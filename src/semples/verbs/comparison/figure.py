"""Draws the figure of a comparison: one bar per row for its mean, with one point per run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from semples.files import replacing
from semples.rundir.labels import SUPERVISED_BOUND
from semples.verbs.comparison.rows import bounds_of, percent, rows_of
from semples.verbs.comparison.statistics import known

SCALE = 3
"""Factor by which the figure is drawn larger and scaled down, because Pillow does not smooth edges."""
WIDTH, ROW, TOP, BOTTOM, GAP, VALUE = 1200, 46, 64, 40, 28, 108
"""Pixels: width of the figure, height of a row, margins, space between panels, space for values beside bars."""
INK, FAINT, GRID = "#1f2933", "#52606d", "#d9dee4"
MIOU, MASKS, BOUND, ERRORS = "#4a7fb5", "#4f9a74", "#9aa5b1", ("#d0743c", "#8e6bb0")
TEXT, SMALL = 19, 16

Bars = Sequence[tuple[str, Sequence[float]]]
"""The bars of one row: color, and one value in [0, 1] per run."""


def draw_comparison(result: Mapping[str, Any], path: Path) -> None:
    """Draw mIoU, false positives and false negatives of every row at the oracle threshold into a PNG file.

    Args:
        result: Result of :func:`semples.verbs.comparison.compare`.
        path: The file.
    """
    rows, bounds = rows_of(result), bounds_of(result)
    labels = [row.label for row in rows] + [SUPERVISED_BOUND] * bool(bounds)
    with_masks = any(row.masks for row in rows)
    miou: list[Bars] = [[(MIOU, known(row.metrics["oracle_miou"]))] for row in rows]
    if with_masks:
        miou = [[*bars, (MASKS, known(row.masks["oracle_miou"]))] for bars, row in zip(miou, rows, strict=True)]
    miou += [[(BOUND, bounds)]] * bool(bounds)
    errors: list[Bars] = [
        [(ERRORS[0], known(row.metrics["false_positive"])), (ERRORS[1], known(row.metrics["false_negative"]))]
        for row in rows
    ]
    canvas = Image.new("RGB", (WIDTH * SCALE, (TOP + ROW * len(labels) + BOTTOM) * SCALE), "white")
    draw = ImageDraw.Draw(canvas)
    left = 20 + max(_width(draw, label, TEXT) for label in labels) + 16
    middle = left + round(0.62 * (WIDTH - left))
    for index, label in enumerate(labels):
        _write(draw, (left - 16, TOP + (index + 0.5) * ROW), label, TEXT, INK, "rm")
    titles = [("mIoU %, best threshold", INK)]
    if with_masks:
        titles += [("CAMs", MIOU), ("masks after refinement", MASKS)]
    _panel(draw, (left, middle - GAP), titles, miou)
    _panel(draw, (middle, WIDTH), [("false positives %", ERRORS[0]), ("false negatives %", ERRORS[1])], errors)
    with replacing(path) as temporary:
        canvas.resize((WIDTH, canvas.height // SCALE), Image.Resampling.LANCZOS).save(temporary, "PNG", optimize=True)


def _panel(
    draw: ImageDraw.ImageDraw, span: tuple[float, float], titles: Sequence[tuple[str, str]], rows: Sequence[Bars]
) -> None:
    """Draw titles, an axis from 0 and the bars of all rows between two horizontal positions."""
    left, right = span[0], span[1] - VALUE
    values = [value for bars in rows for _, found in bars for value in found]
    most = max(10, -(-100 * max(values, default=0.1) // 10) * 10)  # percent, rounded up to a multiple of 10
    step = 10 if most <= 50 else 20

    def x_of(value: float) -> float:
        return left + (right - left) * 100 * value / most

    bottom = TOP + ROW * len(rows)
    for tick in range(0, int(most) + 1, step):
        draw.line(_scaled(x_of(tick / 100), TOP - 6, x_of(tick / 100), bottom), GRID, SCALE)
        _write(draw, (x_of(tick / 100), bottom + 8), str(tick), SMALL, FAINT, "mt")
    position = left
    for title, color in titles:
        _write(draw, (position, TOP - 22), title, SMALL, color, "lm")
        position += _width(draw, title, SMALL) + 20
    for index, bars in enumerate(rows):
        _bars(draw, TOP + index * ROW, x_of, bars)


def _bars(draw: ImageDraw.ImageDraw, top: float, x_of: Any, bars: Bars) -> None:
    """Draw the bars of one row below each other, with one point per run and the mean beside each bar."""
    height = (ROW - 14) / len(bars)
    for index, (color, values) in enumerate(bars):
        if not values:
            continue
        start = top + 7 + index * height
        center = start + height / 2
        draw.rectangle(_scaled(x_of(0), start + 1, x_of(fmean(values)), start + height - 1), _light(color))
        radius = min(4.5, height / 4)
        for value in values:
            box = _scaled(x_of(value) - radius, center - radius, x_of(value) + radius, center + radius)
            draw.ellipse(box, color, "white", SCALE)
        furthest = max(x_of(value) for value in (*values, fmean(values)))
        size = TEXT if len(bars) == 1 else SMALL - 1
        _write(draw, (furthest + 10, center), percent(values), size, INK, "lm")


def _light(color: str) -> tuple[int, ...]:
    """Mix a color with an equal amount of white."""
    return tuple((int(color[i : i + 2], 16) + 255) // 2 for i in (1, 3, 5))


def _write(
    draw: ImageDraw.ImageDraw, where: tuple[float, float], text: str, size: int, color: str, anchor: str
) -> None:
    draw.text((where[0] * SCALE, where[1] * SCALE), text, color, ImageFont.load_default(size * SCALE), anchor)


def _width(draw: ImageDraw.ImageDraw, text: str, size: int) -> float:
    return draw.textlength(text, ImageFont.load_default(size * SCALE)) / SCALE


def _scaled(*values: float) -> tuple[float, ...]:
    return tuple(value * SCALE for value in values)
