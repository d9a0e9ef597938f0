"""All bad inputs, and the few of each kind that are tried by default."""

from __future__ import annotations

from itertools import groupby

from . import checkpoints, configs, images, masks, runs, tags
from .case import Case

PER_KIND = 10
"""So many of each kind are tried by `make test`; all of them by `make test-slow` and ``python -m tests.bad_input``."""

CASES: list[Case] = [*images.CASES, *tags.CASES, *masks.CASES, *configs.CASES, *checkpoints.CASES, *runs.CASES]


def spread(cases: list[Case], count: int) -> list[Case]:
    """Return at most ``count`` cases, evenly spread over the list, as neighbors are alike."""
    return [cases[index * len(cases) // count] for index in range(count)] if len(cases) > count else cases


def defaults() -> set[str]:
    """Return the names of the cases that are tried by default: quick ones, ten of each kind."""
    kinds = groupby(sorted(CASES, key=lambda case: case.kind), key=lambda case: case.kind)
    return {str(case) for _, group in kinds for case in spread([case for case in group if not case.is_slow], PER_KIND)}
