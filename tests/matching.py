"""Patterns for messages: the names and values a message must contain, in order, without its wording."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from semples.errors import DataError


def mentions(*parts: object) -> str:
    """Return a pattern that finds these words, numbers or names in a text, in this order and whole.

    ``mentions("tags.csv", 7, "bot", "boat")`` finds ``photos/tags.csv:7: "bot" is not a class; did you mean "boat"?``,
    but not line 17, and not ``"boats"``. A name may be the end of a longer path, never the start of a longer name.
    """
    return "(?s)" + ".*".join(_whole(str(part)) for part in parts)


def assert_mentions(text: str, *parts: object) -> None:
    """Fail with the text and with the parts unless the text names the parts in this order."""
    assert re.search(mentions(*parts), text), f"{parts} not named in this order: {text}"


def refusal(action: Callable[[], object], kind: type[Exception] = DataError) -> str:
    """Return the message of the error that an action raises; it is one line."""
    with pytest.raises(kind) as caught:
        action()
    text = str(caught.value)
    assert "\n" not in text
    return text


def _whole(part: str) -> str:
    """Escape a part; where it starts or ends with a letter or digit, no other may adjoin."""
    start = r"(?<![\w.-])" if part[:1].isdigit() else r"(?<!\w)" if part[:1].isalnum() else ""
    return start + re.escape(part) + (r"(?!\w)" if part[-1:].isalnum() else "")
