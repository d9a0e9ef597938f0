"""Every bad input ends in one line and exit status 2, and does nothing else."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from .case import Case, problems
from .every import CASES, PER_KIND, defaults

DEFAULTS = defaults()
MARKED = [
    pytest.param(case, marks=() if str(case) in DEFAULTS else pytest.mark.slow, id=str(case).replace("\0", ""))
    for case in CASES
]


@pytest.mark.parametrize("case", MARKED)
def test_it_ends_right(case: Case, tmp_path: Path) -> None:
    assert problems(case, tmp_path) == []


def test_there_are_hundreds_with_names_of_their_own() -> None:
    assert len({str(case) for case in CASES}) == len(CASES) > 600


def test_ten_of_each_kind_are_tried_by_default() -> None:
    kinds = Counter(case.kind for case in CASES if str(case) in DEFAULTS)
    assert kinds == dict.fromkeys({case.kind for case in CASES}, PER_KIND)
