"""The comparison of methods: its statistics by hand, and a small one on scenes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from semples import api
from semples.compare import paired_difference
from semples.errors import ConfigError
from semples.settings import load_config

torch.set_num_threads(1)

SMALL = {
    "data.train_size": 6,
    "data.val_size": 3,
    "data.pairs": {"boat": "water", "ball": "grass"},
    "cams.scales": [1.0],
    **{f"{stage}.epochs": 1 for stage in ("classify", "match", "prompts", "refine", "segment")},
    "device": "cpu",
}


def test_the_interval_of_three_seeds_by_hand() -> None:
    """Differences 1, 2, 3: mean 2, deviation 1, so 2 -+ 4.303 / sqrt(3)."""
    result = paired_difference([0.51, 0.62, 0.73], [0.50, 0.60, 0.70])
    assert result["mean"] == pytest.approx(0.02)
    assert result["interval"] == pytest.approx([0.02 - 0.02484, 0.02 + 0.02484], abs=1e-5)


def test_one_seed_has_no_interval() -> None:
    assert paired_difference([0.5], [0.4]) == {"mean": pytest.approx(0.1), "interval": None}


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    out = tmp_path_factory.mktemp("compare")
    return out, api.compare(load_config(overrides=SMALL), 2, out)


def test_every_method_is_scored_for_every_seed(compared: tuple[Path, dict[str, object]]) -> None:
    _, result = compared
    methods = result["methods"]
    assert isinstance(methods, dict)
    assert list(methods) == ["classify", "match", "manual", "full"]
    for figures in methods.values():
        assert {name: len(values) for name, values in figures.items()} == {
            "miou": 2, "oracle_miou": 2, "false_positive": 2, "false_negative": 2
        }  # fmt: skip
        assert all(a <= b for a, b in zip(figures["miou"], figures["oracle_miou"], strict=True))
    json.dumps(result, allow_nan=False)


def test_the_differences_are_those_of_the_oracle_figures(compared: tuple[Path, dict[str, object]]) -> None:
    methods, differences = compared[1]["methods"], compared[1]["differences"]
    assert isinstance(methods, dict)
    assert isinstance(differences, dict)
    for other in ("classify", "match", "manual"):
        expected = paired_difference(methods["full"]["oracle_miou"], methods[other]["oracle_miou"])
        assert differences[f"full - {other}"] == expected


def test_what_is_finished_is_not_computed_again(compared: tuple[Path, dict[str, object]]) -> None:
    out, result = compared
    files = {path: path.stat().st_mtime_ns for path in out.rglob("mask_generator.safetensors")}
    assert len(files) == 2 * len(("classify", "match", "refine", "manual"))
    assert api.compare(load_config(overrides=SMALL), 2, out) == result
    assert {path: path.stat().st_mtime_ns for path in files} == files


def test_own_images_have_no_known_contexts(tmp_path: Path) -> None:
    config = load_config(overrides={"data.reader": "folder", "data.root": str(tmp_path)})
    with pytest.raises(ConfigError, match="compare needs the built-in scenes"):
        api.compare(config, 1, tmp_path)
