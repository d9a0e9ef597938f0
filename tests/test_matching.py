"""The patterns by which other tests read messages."""

from __future__ import annotations

import re

import pytest

from matching import assert_mentions, mentions

TEXT = 'photos/tags.csv:7: "bot" is not a class\n; did you mean "boat"?'


@pytest.mark.parametrize("parts", [("tags.csv", 7, "bot", "boat"), ("photos/tags.csv", '"bot"'), (7,), ("?",)])
def test_named_in_order(parts: tuple[object, ...]) -> None:
    assert re.search(mentions(*parts), TEXT)


@pytest.mark.parametrize("parts", [("boat", "bot"), ("tags.cs",), ("ags.csv",), ("bo",), ("at",), ("tags.csv", 17)])
def test_parts_of_words_and_another_order_do_not_count(parts: tuple[object, ...]) -> None:
    assert not re.search(mentions(*parts), TEXT)


@pytest.mark.parametrize("number", ["17", "71", "-7", "0.7", "7th"])
def test_a_number_is_whole(number: str) -> None:
    assert not re.search(mentions(7), f"came {number}, what now")


def test_the_failure_shows_parts_and_text() -> None:
    with pytest.raises(AssertionError, match=r"bota.*photos/tags.csv:7"):
        assert_mentions(TEXT, "bota")
