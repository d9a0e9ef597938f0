"""The contract of the settings of refinements; each refinement defines its own section, next to its code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar


class RefinementConfig:
    """Settings of one refinement: a step that aligns the CAMs with the colors of the image."""

    is_linear: ClassVar[bool] = False
    """Whether the refinement averages each map separately and leaves constant maps unchanged, so that CAMs which it has
    refined once can be cut at any threshold."""
    sees_labels: ClassVar[bool] = False
    """Whether the refinement depends on the label map, so that it has to run again for every threshold."""

    def check_installed(self) -> None:
        """Refuse a refinement whose optional package is missing.

        Raises:
            ConfigError: The package is missing.
        """

    def step(self) -> Callable[[Any, Any], Any]:
        """Return the refinement, which maps an image [3, H, W] in [0, 1] and scores [K'+1, H, W] to refined scores."""
        raise NotImplementedError
