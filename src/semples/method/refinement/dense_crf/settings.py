"""Settings of refinement ``dense_crf``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from semples.config.checks import not_negative, positive
from semples.config.refinement import RefinementConfig
from semples.errors import ConfigError


@dataclass(frozen=True)
class DenseCrfConfig(RefinementConfig):
    """Refinement dense_crf: a fully connected CRF (pip install "semples[crf]"); defaults are the paper's for VOC."""

    sees_labels: ClassVar[bool] = True

    iterations: int = 10
    """Number of mean-field iterations."""
    label_confidence: float = 0.7
    """Probability, between 0 and 1, that the label of a pixel before the CRF is right."""
    gaussian_sxy: float = 4.0
    """Standard deviation of the smoothness kernel, in pixels."""
    gaussian_compat: float = 3.0
    """Weight of the smoothness kernel, 0 or more."""
    bilateral_sxy: float = 83.0
    """Standard deviation of the appearance kernel, in pixels."""
    bilateral_srgb: float = 5.0
    """Standard deviation of the appearance kernel in color, in steps of 1 / 255."""
    bilateral_compat: float = 3.0
    """Weight of the appearance kernel, 0 or more."""

    def __post_init__(self) -> None:
        positive(self, "dense_crf", "iterations", "gaussian_sxy", "bilateral_sxy", "bilateral_srgb")
        not_negative(self, "dense_crf", "gaussian_compat", "bilateral_compat")
        if not 0 < self.label_confidence < 1:
            raise ConfigError(
                f"dense_crf.label_confidence: {self.label_confidence} is out of range; expected between 0 and 1"
            )

    def check_installed(self) -> None:
        """Check that pydensecrf2 is installed.

        Raises:
            ConfigError: The package is not installed.
        """
        from semples.method.refinement.dense_crf.refine import load_dense_crf  # imports torch

        load_dense_crf()

    def step(self) -> Callable[[Any, Any], Any]:
        """Return :func:`semples.method.refinement.dense_crf.refine.dense_crf`."""
        from semples.method.refinement.dense_crf.refine import dense_crf  # imports torch

        return partial(dense_crf, **vars(self))
