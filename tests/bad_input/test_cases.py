"""Every bad input ends in one line and exit status 2, and does nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from .case import Case, problems
from .every import CASES

MARKED = [pytest.param(case, marks=pytest.mark.slow if case.is_slow else (), id=str(case)) for case in CASES]


@pytest.mark.parametrize("case", MARKED)
def test_it_ends_right(case: Case, tmp_path: Path) -> None:
    assert problems(case, tmp_path) == []


def test_there_are_hundreds_with_names_of_their_own() -> None:
    assert len({str(case) for case in CASES}) == len(CASES) > 300
