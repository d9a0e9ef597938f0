"""All bad inputs."""

from __future__ import annotations

from . import checkpoints, configs, images, masks, runs, tags
from .case import Case

CASES: list[Case] = [*images.CASES, *tags.CASES, *masks.CASES, *configs.CASES, *checkpoints.CASES, *runs.CASES]
