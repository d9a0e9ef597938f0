"""Parts of the comparison: statistics by hand, pairings, names, the loss over several words, page and figure."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from matching import assert_mentions, mentions
from semples.cli import parser
from semples.config import Config
from semples.config.loading import changed_config, load_config
from semples.data.scenes import CONTEXTS, OBJECTS
from semples.errors import ConfigError
from semples.method.losses import MatchScore
from semples.models.generators.base import MaskGeneratorOutput
from semples.rundir.labels import METHOD_LABELS
from semples.stages.guided import GuidedStep, with_pairs
from semples.verbs.comparison.ablations import ABLATIONS, reference_of
from semples.verbs.comparison.figure import MIOU, _light, draw_comparison
from semples.verbs.comparison.methods import METHODS, default_methods
from semples.verbs.comparison.page import machine_kind, page_file, write_page
from semples.verbs.comparison.pairings import random_pairings
from semples.verbs.comparison.statistics import Rows, differences, paired_difference, pooled, spread


def figures(*oracle: float) -> dict[str, list[float]]:
    return {"miou": [0.1] * len(oracle), "oracle_miou": list(oracle), "false_positive": [0.3] * len(oracle),
            "false_negative": [0.2] * len(oracle)}  # fmt: skip


def record(**methods: Any) -> dict[str, Any]:
    return {
        "seeds": [0, 1], "bias": 0.9, "pairs": {"boat": "sand", "cat": "sky"}, "methods": methods,
        "supervised_bound": [0.8, 0.9], "words": [], "words_found": [2, 1], "differences": {},
        "remarks": ["clip-es is left out: no words"],
    }  # fmt: skip


def test_the_interval_of_three_runs_by_hand() -> None:
    """Differences 1, 2, 3: mean 2, deviation 1, so 2 -+ 4.303 / sqrt(3)."""
    result = paired_difference([0.51, 0.62, 0.73], [0.50, 0.60, 0.70])
    assert result["mean"] == pytest.approx(0.02)
    assert result["interval"] == pytest.approx([0.02 - 0.02484, 0.02 + 0.02484], abs=1e-5)


def test_one_run_has_no_interval() -> None:
    assert paired_difference([0.5], [0.4]) == {"mean": pytest.approx(0.1), "interval": None}


@pytest.mark.parametrize(("count", "quantile"), [(2, 12.706), (25, 2.064), (31, 2.042), (50, 2.042)])
def test_the_quantile_of_many_runs(count: int, quantile: float) -> None:
    """Half 0 and half 1, one 0 more for odd counts: the deviation is known."""
    values = [float(i % 2) for i in range(count)]
    share = sum(values) / count
    deviation = math.sqrt(count * share * (1 - share) / (count - 1))
    low, high = paired_difference(values, [0.0] * count)["interval"]
    assert (high - low) / 2 == pytest.approx(quantile * deviation / math.sqrt(count))


def test_pairings_are_pooled_and_a_row_missing_in_one_is_left_out() -> None:
    tables: list[Rows] = [{"a": figures(0.1, 0.2), "b": None}, {"a": figures(0.6), "b": figures(0.5)}]
    rows = pooled(tables)
    assert list(rows) == ["a"]
    assert spread(rows)["a"]["oracle_miou"] == {
        "mean": pytest.approx(0.3),
        "deviation": pytest.approx(0.264575, abs=1e-6),
    }
    assert spread({"a": figures(0.1)})["a"]["miou"] == {"mean": 0.1, "deviation": None}


def test_differences_name_both_rows_and_pass_over_what_could_not_be_run() -> None:
    rows = {"match": figures(0.5), "full": figures(0.7), "clip-es": None}
    assert differences(rows, "full", True) == {"full - match": {"mean": pytest.approx(0.2), "interval": None}}
    assert differences(rows, "full", False) == {"match - full": {"mean": pytest.approx(-0.2), "interval": None}}
    assert differences(rows, None, True) == differences(rows, "gone", True) == {}


def test_random_pairings_are_fixed_and_differ() -> None:
    pairings = random_pairings(3, 10)
    assert pairings[:2] == random_pairings(2, 10)
    assert len({json.dumps(pairs) for pairs in pairings}) == 3
    for pairs in pairings:
        assert len(pairs) == len(set(pairs.values())) == 10
        assert set(pairs) <= set(OBJECTS)
        assert set(pairs.values()) <= set(CONTEXTS)
    with pytest.raises(ConfigError, match=mentions("data.pairs", 15, 14)):
        random_pairings(1, 15)


def test_the_command_line_knows_every_method_and_ablation() -> None:
    assert tuple(METHODS) == parser.METHODS
    assert tuple(ABLATIONS) == parser.ABLATIONS


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_variant_can_be_set_and_the_default_is_one_of_them(name: str) -> None:
    configs = [changed_config(Config(), variant.settings) for variant in ABLATIONS[name].values()]
    assert sum(config == Config() for config in configs) == (3 if name == "losses" else 1)
    reference = reference_of(ABLATIONS[name], Config())
    assert reference is not None
    assert ABLATIONS[name][reference].stage == "refine"
    assert reference_of(ABLATIONS["lambda-text"], changed_config(Config(), {"prompts.lambda_text": 0.3})) is None


def test_the_loss_of_several_words_is_the_mean_over_them() -> None:
    torch.manual_seed(0)
    words = F.normalize(torch.rand(3, 2, 4), dim=-1)  # K classes, N words, D
    losses = [suppress_part(words), suppress_part(words[:, 0]), suppress_part(words[:, 1])]
    assert losses[0] == pytest.approx((losses[1] + losses[2]) / 2)
    assert losses[1] != pytest.approx(losses[2])


def suppress_part(suppressed: torch.Tensor) -> float:
    """Run one step on two images of three classes with a model of random features."""
    torch.manual_seed(1)
    model: Any = SimpleNamespace(
        fill=torch.zeros(3),
        images_at_once=8,
        encode_images=lambda pixels: F.normalize(torch.rand(len(pixels), 4), dim=-1),
    )
    generator: Any = lambda pixels, _: MaskGeneratorOutput(torch.rand(len(pixels), 3, 2, 2), {})  # noqa: E731
    step = GuidedStep(model, MatchScore("cosine"), F.normalize(torch.rand(3, 4), dim=-1), 1.0, True, suppressed, 0.5)
    labels = torch.tensor([[1.0, 0, 1], [0, 1, 0]])
    batch = with_pairs(
        [{"pixels": pixels, "labels": row} for pixels, row in zip(torch.rand(2, 3, 8, 8), labels, strict=True)]
    )
    return float(step(generator, batch).parts["suppress"])


def test_the_page_tells_figures_spread_words_remarks_and_how_it_was_made(tmp_path: Path) -> None:
    rows = {"match": figures(0.5, 0.6), "full": figures(0.6, 0.8)}
    found = {"full - match": {"mean": 0.15, "interval": [0.1, 0.2]}}
    result = {**record(**rows), "summary": {"methods": {}, "differences": found}}
    write_page(result, tmp_path / "page.md", "CPU: any, 2 threads", "semples compare --seeds 2")
    lines = (tmp_path / "page.md").read_text().splitlines()
    assert "| CAM + match | 55.0 ± 7.1 | 10.0 ± 0.0 | 30.0 ± 0.0 | 20.0 ± 0.0 |  |" in lines
    assert "| CAM + full | 70.0 ± 14.1 | 10.0 ± 0.0 | 30.0 ± 0.0 | 20.0 ± 0.0 | 3 of 4 |" in lines
    assert "| Supervised bound (network, held out) | 85.0 ± 7.1 |  |  |  |  |" in lines
    text = "\n".join(lines)
    assert_mentions(text, "- full - match", "+15.0", 95, "+10.0", "+20.0")
    assert "- Clip-es is left out: no words." in lines
    assert lines[lines.index("```") + 1] == "semples compare --seeds 2"
    assert "- CPU: any, 2 threads" in lines
    assert json.loads((tmp_path / "page.json").read_text()) == result
    assert (tmp_path / "page.png").is_file()


def test_an_ablation_of_one_run_has_no_spread_and_its_own_words(tmp_path: Path) -> None:
    base = {"ablation": "prompt-length", "seeds": [0], "bias": 0.9, "pairs": {"boat": "sand"}, "remarks": []}
    rows = {"variants": {"length 1": figures(0.5)}, "words_found": {"length 1": [1]}}
    write_page({**base, **rows, "summary": {"differences": {}}}, tmp_path / "page.md", "GPU: any")
    text = (tmp_path / "page.md").read_text()
    assert text.startswith("# Ablation: prompt-length\n")
    assert "| length 1 | 50.0 | 10.0 | 30.0 | 20.0 | 1 of 1 |\n" in text
    assert "±" not in text
    assert "```" not in text


def photographs(**rows: Any) -> dict[str, Any]:
    """A record of two seeds on photographs; row dense-picked is run once."""
    return {
        "seeds": [0, 1], "reader": "voc", "images": 9, "classes": ["background", "cat"], "refinement": ["dense_crf"],
        "methods": rows, "masks": {name: {**found, "oracle_miou": [None, None]} for name, found in rows.items()},
        "nearest_words": {"dense-picked": [{"cat": ["bed"]}] * 2},
        "judged_words": {"dense-picked": [{"cat": "sofa"}] * 2},
        "words_right": {"dense-picked": [1, 1]}, "words_judged": 1,
        "supervised_bound": None, "words": [], "words_found": [],
        "seconds": {name: [3.0, 4.0] for name in rows}, "run_once": ["dense-picked"], "remarks": [],
        "summary": {"differences": {}},
    }  # fmt: skip


def test_the_page_of_photographs_has_masks_words_and_seconds(tmp_path: Path) -> None:
    """A row that is run once has no spread; a dense CRF has no best threshold."""
    result = photographs(**{"match": figures(0.5, 0.6), "dense-picked": figures(0.4, 0.4)})
    write_page(result, tmp_path / "page.md", "CPU: any")
    lines = (tmp_path / "page.md").read_text().splitlines()
    assert "| CAM + match | 55.0 ± 7.1 | 10.0 ± 0.0 | 30.0 ± 0.0 | 20.0 ± 0.0 |  | 4 |" in lines
    assert "| Dense + picked words | 40.0 | 10.0 | 30.0 | 20.0 | 1 of 1 | 3 |" in lines
    masks = lines.index("Masks after dense_crf:")
    assert "| CAM + match | - | 10.0 ± 0.0 | 30.0 ± 0.0 | 20.0 ± 0.0 |" in lines[masks:]
    assert "| Dense + picked words | - | 10.0 | 30.0 | 20.0 |" in lines[masks:]
    assert lines.count("|  | cat |") == 2
    assert [line for line in lines if line in ("| Dense + picked words | bed |", "| Dense + picked words | sofa |")]
    assert_mentions("\n".join(lines), 9, "voc", 2, "seeds", "background, cat")


@pytest.mark.parametrize(
    ("given", "file"),
    [("docs/a.md", "docs/a.md"), ("docs/results", "docs/results/photos.md"), (".", "photos.md")],
)
def test_a_page_in_a_folder_is_named_after_the_comparison(given: str, file: str) -> None:
    assert page_file(Path(given), Path("runs/photos")) == Path(file)
    with pytest.raises(ConfigError, match=mentions("results", "a.html", ".md")):
        page_file(Path("a.html"), Path("runs/photos"))


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("classify", {}, True),
        ("classify", {"mask_generator.name": "dense"}, False),
        ("full", {"mask_generator.name": "dense"}, True),
        ("clip-es", {}, False),
        ("dense-none", {}, False),
        ("dense-picked", {}, False),
        ("dense-picked", {"prompts.views": 2}, True),
        ("dense-mixtures", {}, True),
    ],
    ids=str,
)
def test_rows_that_depend_on_the_seed(name: str, changes: dict[str, Any], expected: bool) -> None:
    assert METHODS[name].is_random(load_config(overrides=changes)) is expected


def test_rows_by_default() -> None:
    scenes = default_methods(Config())
    assert scenes == ["classify", "match", "generic", "manual", "clip-es", "full", "supervised-bound"]
    images = {"data.reader": "folder", "data.root": "photos"}
    rows = default_methods(load_config(overrides=images))
    assert {"classify", "match", "full", "clip-es", "dense-none", "dense-vectors-places"} <= set(rows)
    assert not {"manual", "supervised-bound"} & set(rows)
    bound = default_methods(load_config(overrides={**images, "segment.supervised_bound": True}))
    assert bound == [*rows, "supervised-bound"]


def test_every_row_has_a_label_and_settings_that_exist() -> None:
    assert list(METHODS) == list(METHOD_LABELS)
    for method in METHODS.values():
        changed_config(Config(), method.settings)


def test_the_machine_has_no_name_in_it() -> None:
    import socket

    kind = machine_kind(torch.device("cpu"))
    assert kind.startswith("CPU: ")
    assert kind.endswith(("thread", "threads"))
    assert socket.gethostname() not in kind


def test_bars_are_as_long_as_their_values(tmp_path: Path) -> None:
    draw_comparison(record(match=figures(0.2), full=figures(0.4)), tmp_path / "a.png")
    pixels = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    is_bar = (pixels == _light(MIOU)).all(-1)
    lengths = [int(is_bar[row].sum()) for row in (64 + 10, 64 + 46 + 10)]  # near the upper edge, above the points
    assert lengths[1] == pytest.approx(2 * lengths[0], abs=2)
    assert lengths[0] > 50
