"""Examples in docstrings are run: all modules of the package, none of which needs a model for them."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

from conftest import REPOSITORY

SOURCE = REPOSITORY / "src"
WITH_EXAMPLES = sorted(
    path.relative_to(SOURCE) for path in (SOURCE / "semples").rglob("*.py") if ">>>" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=str)
def test_examples_in_docstrings(path: Path) -> None:
    module = importlib.import_module(".".join(path.with_suffix("").parts))
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0
