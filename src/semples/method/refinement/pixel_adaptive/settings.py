"""Settings of refinement ``pixel_adaptive``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

from semples.config.checks import positive
from semples.config.refinement import RefinementConfig
from semples.errors import ConfigError


@dataclass(frozen=True)
class PixelAdaptiveConfig(RefinementConfig):
    """Refinement pixel_adaptive: means over neighbors of similar color (PAMR, arXiv 2005.08104)."""

    is_linear: ClassVar[bool] = True

    dilations: list[int] = field(default_factory=lambda: [1, 2, 4, 8, 12, 24])
    """Distances of the neighbors in pixels, each 1 or more; the defaults suit photographs of about 500 pixels."""
    iterations: int = 10
    """Number of rounds of averaging."""
    color_scale: float = 0.1
    """Color difference that counts as an edge, in local standard deviations, above 0; smaller keeps finer edges."""

    def __post_init__(self) -> None:
        positive(self, "pixel_adaptive", "iterations", "color_scale")
        if not self.dilations or min(self.dilations) < 1:
            raise ConfigError(f"pixel_adaptive.dilations: {self.dilations} is out of range; expected numbers above 0")

    def step(self) -> Callable[[Any, Any], Any]:
        """Return :func:`semples.method.refinement.pixel_adaptive.refine.pixel_adaptive_refinement`."""
        from semples.method.refinement.pixel_adaptive.refine import pixel_adaptive_refinement  # imports torch

        return partial(pixel_adaptive_refinement, **vars(self))
