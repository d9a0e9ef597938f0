"""Stage 2 with prompts made of words, and with places in place of masked pictures."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import semples
from matching import assert_mentions, mentions
from run_files import TINY, artefacts, config_from
from semples.errors import ConfigError, ResultError
from semples.models.vision_language.adapter import DenseAttention
from semples.models.vision_language.model import VisionLanguageModel
from semples.runtime.regions import place_averages
from semples.runtime.setup import open_run
from semples.stages.prompt_learning import prompts
from tiny import save_clip

pytestmark = pytest.mark.whole

small = partial(
    config_from,
    {
        **TINY,
        "mask_generator.name": "dense",
        "mask_generator.image_size": 64,
        "data.image_size": 64,
        "data.val_size": 2,
        "prompts.epochs": 2,
        "pseudo_masks.refinement": [],
    },
)
KINDS = [("picked", "places"), ("picked", "pictures"), ("mixtures", "places"), ("vectors", "places")]


def learned(directory: Path, **changes: object) -> Path:
    return semples.run(small(**changes), directory, until="pseudo-masks", quiet=True)


@pytest.mark.parametrize(("kind", "regions"), KINDS)
def test_a_run_with_each_kind_of_prompts(tmp_path: Path, kind: str, regions: str) -> None:
    settings = {"prompts__kind": kind, "prompts__regions": regions, "prompts__lambda_inside": 1.0}
    run = learned(tmp_path / "run", **settings)
    stored = load_file(run / "2-prompts" / "prompts.safetensors")
    assert stored.keys() == ({"vectors"} if kind == "vectors" else {"features"})
    words = semples.prompts(run)
    assert words.keys() == {"boat", "ball"}
    opened = open_run(small(**settings), run, quiet=True)
    features = opened.models.prompt_features()
    torch.testing.assert_close(features.norm(dim=1), torch.ones(2))
    # Stage 3 contrasts the classes with these prompts.
    backgrounds = load_file(run / "3-refine" / "mask_generator.safetensors")["backgrounds"]
    torch.testing.assert_close(backgrounds[: len(features)], features)


@pytest.mark.parametrize("count", [1, 3])
def test_words_of_classes_are_never_picked(tmp_path: Path, count: int) -> None:
    own = tmp_path / "words.txt"
    own.write_text("boat\nball\nwater\n")
    settings = {"prompts__kind": "picked", "prompts__words": str(own), "prompts__picked_words": count}
    run = learned(tmp_path / "run", **settings)
    for nearest in semples.prompts(run).values():
        word, cosine = nearest[0]
        assert word == "water"
        assert cosine == pytest.approx(1, abs=1e-3)  # nothing else is mixed in
    own.write_text("Boat\nball\n")
    with pytest.raises(ConfigError, match=mentions("prompts.words", "words.txt")):
        learned(tmp_path / "run", **settings)


def test_classes_without_an_image_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = learned(tmp_path / "run", prompts__kind="picked")
    opened = open_run(small(prompts__kind="picked"), run)
    without = tuple(replace(sample, tags=(0,)) for sample in opened.dataset.train)
    prompts(replace(opened, dataset=replace(opened.dataset, train=without)))
    said = capsys.readouterr()
    assert_mentions(said.out + said.err, "1 of 2", opened.dataset.catalogue.names[1])


def test_prompts_of_words_are_learned_again_to_the_same_bytes(tmp_path: Path) -> None:
    settings = {"prompts__kind": "mixtures", "prompts__regions": "places"}
    whole = learned(tmp_path / "whole", **settings)
    again = tmp_path / "again"
    shutil.copytree(whole, again)
    semples.run(small(**settings), again, force="prompts", until="pseudo-masks", quiet=True)
    assert artefacts(again) == artefacts(whole)


def test_another_kind_does_not_read_the_prompts_of_the_first(tmp_path: Path) -> None:
    run = learned(tmp_path / "run", prompts__kind="picked")
    other = open_run(small(prompts__kind="vectors"), run, quiet=True)
    with pytest.raises(ResultError, match=mentions("prompts.safetensors", "vectors", "--force prompts")):
        other.models.prompt_features()


def test_places_outside_of_a_mask_do_not_show_what_it_covers(tmp_path: Path) -> None:
    run = learned(tmp_path / "run", prompts__kind="picked")
    model = open_run(small(), run, quiet=True).models.vision_language
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    places = torch.nn.functional.normalize(model.dense_features(pixels), dim=-1)[0]
    left = torch.zeros(1, 64, 64)
    left[..., :32] = 1
    inside, outside = place_averages(model.dense_features(pixels), left, torch.tensor([0]), with_foreground=True)
    half = places.shape[1] // 2
    for features, part in ((inside, places[:, :half]), (outside, places[:, half:])):
        torch.testing.assert_close(features[0], torch.nn.functional.normalize(part.mean((0, 1)), dim=0))
    none, same = place_averages(model.dense_features(pixels), left, torch.tensor([0]), with_foreground=False)
    assert len(none) == 0
    assert torch.equal(same, outside)


def test_places_have_the_attention_of_the_generator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attentions = []
    whole = VisionLanguageModel.dense_features

    def noted(model: VisionLanguageModel, pixels: torch.Tensor, attention: DenseAttention | None) -> torch.Tensor:
        attentions.append(attention)
        return whole(model, pixels, attention)

    monkeypatch.setattr(VisionLanguageModel, "dense_features", noted)
    settings = {
        "vision_language__model": str(save_clip(tmp_path / "clip")),
        "mask_generator__attention": "value",
        "mask_generator__background_words": ["water"],
        "prompts__kind": "picked",
        "prompts__regions": "places",
    }
    semples.run(small(**settings), tmp_path / "run", until="prompts", quiet=True)
    assert set(attentions) == {"value"}
