"""Vector sketches: shapes in free coordinates (x to the right, y down), without size, pose or color."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from semples.data.scenes.palette import RGB

Points = Sequence[tuple[float, float]]
FloatArray = npt.NDArray[np.float64]

Fill = RGB | Literal["body", "shade", "tint"]
"""A fixed color, the object's patterned body color, or a darker or lighter plain tone of it."""


@dataclass(frozen=True)
class Shape:
    """A filled polygon (``width`` 0) or an open line.

    Attributes:
        points: Corners, float64 [N, 2] as x, y.
        fill: Its color.
        width: Line width in sketch coordinates; 0 for a filled polygon.
        outlined: Whether a filled polygon gets the object's outline.
    """

    points: FloatArray
    fill: Fill
    width: float = 0.0
    outlined: bool = True


@dataclass
class Sketch:
    """An ordered list of shapes; later shapes cover earlier ones."""

    shapes: list[Shape] = field(default_factory=list)

    def polygon(self, points: Points | FloatArray, fill: Fill, *, outlined: bool = True) -> None:
        """Add a filled polygon."""
        self.shapes.append(Shape(np.asarray(points, dtype=np.float64), fill, outlined=outlined))

    def rectangle(
        self, left: float, top: float, right: float, bottom: float, fill: Fill, *, outlined: bool = True
    ) -> None:
        """Add an axis-parallel rectangle."""
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        self.polygon(corners, fill, outlined=outlined)

    def ellipse(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        fill: Fill,
        *,
        tilt: float = 0.0,
        outlined: bool = True,
    ) -> None:
        """Add an ellipse around (x, y), turned by ``tilt`` degrees."""
        self.polygon(arc(x, y, rx, ry, 0, 360, tilt=tilt), fill, outlined=outlined)

    def blob(self, points: Points, fill: Fill, *, outlined: bool = True) -> None:
        """Add a polygon with its corners rounded away."""
        self.polygon(rounded(points), fill, outlined=outlined)

    def line(self, points: Points | FloatArray, width: float, fill: Fill) -> None:
        """Add an open line."""
        self.shapes.append(Shape(np.asarray(points, dtype=np.float64), fill, width=width))

    def shifted(self, dx: float, dy: float, scale: float = 1.0) -> Sketch:
        """Return a copy scaled around the origin and then moved."""
        return Sketch([Shape(s.points * scale + (dx, dy), s.fill, s.width * scale, s.outlined) for s in self.shapes])


def arc(
    x: float, y: float, rx: float, ry: float, start: float, stop: float, *, tilt: float = 0.0, count: int = 24
) -> FloatArray:
    """Return points [count, 2] on an ellipse; degrees run clockwise on screen, 0 is to the right."""
    angles = np.radians(np.linspace(start, stop, count))
    along, across = rx * np.cos(angles), ry * np.sin(angles)
    cosine, sine = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))
    return np.stack([x + along * cosine - across * sine, y + along * sine + across * cosine], axis=1)


def rounded(points: Points, rounds: int = 2) -> FloatArray:
    """Cut the corners of a closed polygon (Chaikin's algorithm); every round doubles the number of points."""
    corners = np.asarray(points, dtype=np.float64)
    for _ in range(rounds):
        following = np.roll(corners, -1, axis=0)
        cut = np.stack([0.75 * corners + 0.25 * following, 0.25 * corners + 0.75 * following], axis=1)
        corners = cut.reshape(-1, 2)
    return corners
