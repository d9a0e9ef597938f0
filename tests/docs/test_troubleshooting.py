"""The errors that the page lists are errors of the source, whatever their wording."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `([^`]+)` \| (.+) \| (.+) \|$", PAGE, re.MULTILINE)
FUNCTION_WORDS = r"\b(all|and|any|are|but|does|for|from|has|have|its|not|one|that|the|there|this|which|with)\b"
QUOTED = [quoted for quoted, _, _ in ROWS]


def content_words(text: str) -> set[str]:
    """Return the words by which a text can be found, in lower case."""
    return set(re.findall(r"\w{3,}", re.sub(FUNCTION_WORDS, "", text.lower())))


@cache
def texts() -> list[set[str]]:
    """Return the content words of every string literal of the source, docstrings left out."""
    found = []
    for path in sorted((REPOSITORY / "src").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value for part in node.values if isinstance(part, ast.Constant)]
                found.append(content_words(" ".join(map(str, parts))))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
                found.append(content_words(node.value))
    return found


@pytest.mark.parametrize("quoted", QUOTED)
def test_the_words_of_an_error_are_in_one_text_of_the_source(quoted: str) -> None:
    words = content_words(quoted)
    assert words
    assert any(words <= text for text in texts()), f"no error has all of {sorted(words)}"


def test_the_likely_errors_are_there_with_cause_and_fix() -> None:
    assert len(set(QUOTED)) == len(QUOTED) >= 25
    assert all(cause.strip() and fix.strip() for _, cause, fix in ROWS)
    assert len(QUOTED) == len(re.findall(r"^\| `", PAGE, re.MULTILINE))
