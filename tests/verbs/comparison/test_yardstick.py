"""The yardstick for prompts: right words, and the file of nouns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from conftest import REPOSITORY
from matching import mentions
from semples.config import Config
from semples.config.loading import load_config
from semples.errors import ConfigError
from semples.verbs.comparison.yardstick import Yardstick, paired_contexts, read_yardstick


def run_of(prompts: list[list[float]], nouns: dict[str, list[float]], tags: tuple[int, ...]) -> Any:
    """A run of the classes cat, cow and dog with these prompts, whose model knows these nouns."""
    model = SimpleNamespace(
        knows=lambda noun: noun in nouns, encode_words=lambda words: torch.tensor([nouns[word] for word in words])
    )
    models = SimpleNamespace(vision_language=model, prompt_features=lambda: torch.tensor(prompts))
    dataset = SimpleNamespace(
        catalogue=SimpleNamespace(names=("cat", "cow", "dog")), train=[SimpleNamespace(tags=(tag,)) for tag in tags]
    )
    return SimpleNamespace(models=models, dataset=dataset)


def test_a_prompt_is_right_if_its_nearest_noun_is_on_the_list_of_its_class() -> None:
    """The prompts of cat and cow are nearest to bed and sea; the model does not know field."""
    yardstick = Yardstick({"cat": ("bed", "sofa"), "cow": ("field",), "dog": ("sea",)}, ("bed", "field", "sea"))
    run = run_of([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], {"bed": [1.0, 0.0], "sea": [0.0, 1.0]}, tags=(0, 1))
    nearest = yardstick.nearest(run)
    assert nearest == {"cat": "bed", "cow": "sea"}  # no image shows a dog
    assert yardstick.count(nearest) == 1
    with pytest.raises(ConfigError, match=mentions("contexts", 3, "nouns")):
        yardstick.nearest(run_of([[1.0, 0.0]] * 3, {}, tags=(0,)))


def test_scenes_are_judged_by_their_pairs() -> None:
    yardstick = paired_contexts(load_config(overrides={"data.pairs": {"boat": "water", "ball": "grass"}}))
    assert yardstick is not None
    assert yardstick.count({"boat": "water", "ball": "water"}) == 1
    assert paired_contexts(load_config(overrides={"data.reader": "folder", "data.root": "photos"})) is None
    assert paired_contexts(Config()) is not None


def test_classes_are_those_of_the_data() -> None:
    yardstick = Yardstick({"cat": ("bed",), "cov": ("field",)}, ("bed", "field"))
    yardstick.require_classes(["cat", "cov"])
    with pytest.raises(ConfigError, match=mentions("contexts", "cov", "cow")):
        yardstick.require_classes(["cat", "cow"])


def test_the_nouns_of_the_benchmarks_are_such_a_file() -> None:
    yardstick = read_yardstick(REPOSITORY / "benchmarks/context_nouns.json")
    assert set(yardstick.right) == {"cat", "cow", "dog", "horse", "person", "sheep"}
    assert yardstick.vocabulary is not None
    assert "grass" in yardstick.vocabulary


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("[", ("JSON", "line 1")),
        ([], ("vocabulary", "contexts")),
        ({"vocabulary": ["sea"]}, ("vocabulary", "contexts")),
        ({"vocabulary": [], "contexts": {"cat": ["sea"]}}, ("vocabulary", "contexts")),
        ({"vocabulary": ["sea"], "contexts": {}}, ("vocabulary", "contexts")),
        ({"vocabulary": ["sea"], "contexts": {"cat": "sea"}}, ("contexts", "cat", "sea")),
        ({"vocabulary": ["sea"], "contexts": {"cat": []}}, ("contexts", "cat")),
        ({"vocabulary": ["sea"], "contexts": {"cat": ["see"]}}, ("contexts", "cat", "see", "vocabulary", "sea")),
    ],
    ids=str,
)
def test_errors_in_the_file_name_it(tmp_path: Path, content: Any, named: Sequence[object]) -> None:
    file = tmp_path / "nouns.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ConfigError, match=mentions(file, *named)):
        read_yardstick(file)
    with pytest.raises(ConfigError, match=mentions(tmp_path / "no.json")):
        read_yardstick(tmp_path / "no.json")
