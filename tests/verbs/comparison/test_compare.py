"""A small comparison and a small ablation on scenes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import semples
from matching import assert_mentions, mentions
from run_files import TINY
from semples.config.loading import load_config
from semples.errors import ConfigError
from semples.runtime.setup import open_run
from semples.verbs.comparison import paired_difference
from semples.verbs.comparison.ablations import Variant, score_variants

pytestmark = pytest.mark.whole


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    out = tmp_path_factory.mktemp("compare")
    return out, semples.compare(load_config(overrides=TINY), 2, out)


def test_every_method_is_scored_for_every_seed(compared: tuple[Path, dict[str, object]]) -> None:
    _, result = compared
    methods = result["methods"]
    assert isinstance(methods, dict)
    assert list(methods) == ["classify", "match", "generic", "manual", "clip-es", "full"]
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
    for other in ("classify", "match", "generic", "manual", "clip-es"):
        expected = paired_difference(methods["full"]["oracle_miou"], methods[other]["oracle_miou"])
        assert differences[f"full - {other}"] == expected


def test_what_is_finished_is_not_computed_again(compared: tuple[Path, dict[str, object]]) -> None:
    out, result = compared
    files = {path: path.stat().st_mtime_ns for path in out.rglob("mask_generator.safetensors")}
    assert len(files) == 2 * len(("classify", "match", "refine", "generic", "manual"))
    assert semples.compare(load_config(overrides=TINY), 2, out) == result
    assert {path: path.stat().st_mtime_ns for path in files} == files


def test_the_folder_holds_what_is_returned_and_a_figure(compared: tuple[Path, dict[str, object]]) -> None:
    out, result = compared
    assert json.loads((out / "compare.json").read_text()) == result
    with Image.open(out / "compare.png") as figure:
        assert figure.format == "PNG"


def test_generic_words_are_another_training_than_the_true_contexts(compared: tuple[Path, dict[str, object]]) -> None:
    for run in compared[0].glob("*-seed-*"):
        files = [
            run / folder / "mask_generator.safetensors" for folder in ("1-match", "compare-generic", "compare-manual")
        ]
        assert len({file.read_bytes() for file in files}) == 3
        assert len(list((run / "compare-clip-es" / "cams").iterdir())) == 6


def test_an_ablation_shares_the_stages_of_the_comparison(compared: tuple[Path, dict[str, object]]) -> None:
    """Without suppression stage 3 is stage 1, and the default is the full method: what the comparison found."""
    out, result = compared
    trained = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    table = semples.compare(load_config(overrides=TINY), 1, out, ablation="lambda-suppress")
    assert {path: path.stat().st_mtime_ns for path in trained} == trained
    methods, variants = result["methods"], table["variants"]
    assert isinstance(methods, dict)
    first = {name: {figure: values[:1] for figure, values in methods[name].items()} for name in ("match", "full")}
    assert variants["lambda_suppress 0"] == first["match"]
    assert variants["lambda_suppress 0.5"] == first["full"]
    assert list(table["differences"]) == [
        f"{name} - lambda_suppress 0.5" for name in variants if not name.endswith("0.5")
    ]
    (run,) = out.glob("*-seed-0")
    (strong,) = run.glob("variants/*lambda_suppress=2")
    assert (strong / "2-prompts" / "words.json").read_bytes() == (run / "2-prompts" / "words.json").read_bytes()
    generators = [folder / "3-refine" / "mask_generator.safetensors" for folder in (run, strong)]
    assert generators[0].read_bytes() != generators[1].read_bytes()
    made = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    assert semples.compare(load_config(overrides=TINY), 1, out, ablation="lambda-suppress") == table
    assert {path: path.stat().st_mtime_ns for path in made} == made


def test_prompts_that_are_too_long_are_left_out_with_a_remark(compared: tuple[Path, dict[str, object]]) -> None:
    (directory,) = compared[0].glob("*-seed-0")
    base = open_run(load_config(overrides=TINY), directory, quiet=True)
    scores = score_variants(base, lambda _: None, {"length 99": Variant({"prompts.length": 99}), "full": Variant()})
    (remark,) = scores.remarks
    assert_mentions(remark, "length 99", 34)
    assert list(scores.rows) == ["full"]


def test_a_method_that_lacks_words_is_left_out_with_a_remark(tmp_path: Path) -> None:
    config = load_config(overrides={**TINY, "mask_generator.background_words": ["zebra"]})
    result = semples.compare(config, 1, tmp_path, 1, ["classify", "generic", "clip-es"])
    (run,) = result["runs"]
    assert list(run["methods"]) == ["classify"]
    generic, clip_es = run["remarks"]
    assert generic.startswith("generic ")
    assert clip_es.startswith("clip-es ")
    with pytest.raises(ConfigError, match=mentions("clip-es", "mask_generator.background_words")):
        semples.compare(config, 1, tmp_path, 1, ["clip-es"])


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"methods": ["ful"]}, ("method", "ful", "match", "full")),
        ({"ablation": "loses"}, ("ablation", "loses", "prompt-length", "losses")),
        ({"results": Path("docs/page.html")}, ("results", Path("docs/page.html"), ".md")),
        ({"ablation": "losses", "methods": ["full"]}, ("ablation",)),
    ],
)
def test_wrong_names_are_told(tmp_path: Path, given: dict[str, Any], named: Sequence[object]) -> None:
    with pytest.raises(ConfigError, match=mentions(*named)):
        semples.compare(load_config(overrides=TINY), 1, tmp_path, **given)


def test_without_guidance_there_is_nothing_to_compare(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=mentions("guidance.enabled", "false")):
        semples.compare(load_config(overrides={**TINY, "guidance.enabled": False}), 1, tmp_path)


def test_rows_of_the_dense_generator_work_on_scenes(tmp_path: Path) -> None:
    """Each seed has scenes of its own, so that no row is run once; the contexts of the scenes are the yardstick."""
    rows = ["dense-none", "dense-generic", "dense-picked"]
    result = semples.compare(load_config(overrides=TINY), 2, tmp_path, methods=rows, quiet=True)
    assert list(result["methods"]) == list(result["masks"]) == rows
    assert result["run_once"] == []
    assert len({json.dumps(each) for each in result["scores"]["dense-none"]}) == 2
    pairs = TINY["data.pairs"]
    assert isinstance(pairs, dict)
    words = [{name: found[0] for name, found in each.items()} for each in result["nearest_words"]["dense-picked"]]
    right = [sum(each[name] == context for name, context in pairs.items()) for each in words]
    assert result["words_right"] == {"dense-picked": right}
    assert result["words_judged"] == 2
    assert (result["words"], result["words_found"]) == ([], [])  # those of the full method


def test_the_masks_are_scored_beside_the_cams(compared: tuple[Path, dict[str, Any]]) -> None:
    _, result = compared
    assert list(result["masks"]) == list(result["methods"])
    assert result["words_right"] == {"full": result["words_found"]}
    for scores in (scores for row in result["scores"].values() for scores in row):
        assert scores["masks"]["miou"] <= scores["masks"]["oracle_miou"]
        assert scores["masks"]["iou"] != scores["cams"]["iou"]
