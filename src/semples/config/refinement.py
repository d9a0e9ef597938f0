"""The contract of refinements' settings; each refinement has its own section, next to its code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar


class RefinementConfig:
    """Settings of one refinement, a step in which the photograph itself corrects the CAMs."""

    is_linear: ClassVar[bool] = False
    """Whether it averages each map by itself and leaves constant maps unchanged, so that CAMs that were refined once
    can be cut at any threshold."""
    sees_labels: ClassVar[bool] = False
    """Whether it looks at the label map, so that it has to run again for every threshold."""

    def check_installed(self) -> None:
        """Refuse a refinement whose optional package is missing.

        Raises:
            ConfigError: It is missing.
        """

    def step(self) -> Callable[[Any, Any], Any]:
        """Return the refinement: image [3, H, W] in [0, 1] and scores [K'+1, H, W] in, scores out."""
        raise NotImplementedError
