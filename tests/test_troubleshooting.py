"""The errors that the page quotes are those of the source."""

from __future__ import annotations

import re

import pytest

from conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
QUOTED = re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE)
SOURCE = "\n".join(path.read_text(encoding="utf-8") for path in sorted((REPOSITORY / "src").rglob("*.py")))
TEXTS = re.sub(r'"\s*\n\s*f?"', "", SOURCE)
"""The source with texts that stand on several lines joined."""


@pytest.mark.parametrize("quoted", QUOTED)
def test_the_fixed_part_of_an_error_is_in_the_source(quoted: str) -> None:
    for part in quoted.split("…"):
        assert part.strip() in TEXTS


def test_the_likely_errors_are_there() -> None:
    assert len(set(QUOTED)) == len(QUOTED) >= 25
