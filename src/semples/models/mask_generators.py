"""The contract of mask generators, at the import path that ``docs/extending.md`` promises."""

from __future__ import annotations

from semples.models.generators.base import FoundationGenerator, MaskGenerator, MaskGeneratorOutput
from semples.models.generators.cam.generator import CamGenerator

__all__ = ["CamGenerator", "FoundationGenerator", "MaskGenerator", "MaskGeneratorOutput"]
