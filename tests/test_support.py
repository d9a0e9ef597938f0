"""The support of the other tests: patterns for messages, one thread, verbs that are recorded."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import semples
from fake_api import FakeApi
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


def test_torch_has_one_thread() -> None:
    import torch

    assert torch.get_num_threads() == 1


def test_recorded_verbs_take_the_arguments_of_the_real_ones(api: FakeApi) -> None:
    semples.report(Path("r"))
    assert api.only_call() == {"run": Path("r")}
    with pytest.raises(TypeError, match="directory"):
        semples.report(Path("r"), directory=Path("r"))  # type: ignore[call-arg]
