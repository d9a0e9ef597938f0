"""All bad inputs."""

from __future__ import annotations

from . import configs, images, masks, tags
from .case import Case

CASES: list[Case] = [*images.CASES, *tags.CASES, *masks.CASES, *configs.CASES]
