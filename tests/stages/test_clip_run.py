"""A whole run, and a comparison, with the mask generator clip: nothing trains but the prompts."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import semples
from matching import assert_mentions, mentions
from run_files import TINY, config_from, digests, stages, statuses
from semples.errors import ConfigError
from semples.models.vision_language.model import VisionLanguageModel
from tiny import save_clip

pytestmark = pytest.mark.whole

CLIP = {
    **TINY,
    "data.val_size": 2,
    "data.image_size": 64,
    "mask_generator.name": "clip",
    "mask_generator.image_size": 64,
    "prompts.epochs": 3,
    "segment.image_size": 64,
    "segment.supervised_bound": False,
}
small = partial(config_from, CLIP)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return semples.run(small(), tmp_path_factory.mktemp("clip") / "run", quiet=True)


def test_stage_1_is_skipped_with_its_reason(finished: Path) -> None:
    assert {name: status for name, status in statuses(finished).items() if status != "done"} == {
        "1-match": "skipped",
        "5-supervised-bound": "skipped",
    }
    assert_mentions(stages(finished)["1-match"]["reason"], "clip")
    cams = json.loads((finished / "evaluation.json").read_text())["cams"]
    assert cams["match"] is None
    assert cams["classify"]["images"] == cams["refine"]["images"] == 6
    assert stages(finished)["1-match"]["reason"] in (finished / "report.html").read_text()


def test_the_prompts_take_the_place_of_the_background_words(finished: Path) -> None:
    first, last = (
        load_file(finished / stage / "mask_generator.safetensors")["backgrounds"]
        for stage in ("0-classify", "3-refine")
    )
    assert first.shape == (6, 144)  # grass, wall, sky, water, house, road: what the bundled model knows of the list
    assert last.shape == (2, 144)  # one prompt per class
    trained = {json.loads(line)["stage"] for line in (finished / "metrics.jsonl").read_text().splitlines()}
    assert trained == {"prompts", "segment"}


def test_other_background_words_run_it_all_again(finished: Path, copied_run: Path) -> None:
    semples.run(small(mask_generator__background_words=["wall"]), copied_run, until="prompts", quiet=True)
    before, after = digests(finished), digests(copied_run)
    assert {name for name in after if before[name] != after[name]} == {"0-classify", "1-match", "2-prompts"}


def test_without_guidance_the_background_words_remain(finished: Path, copied_run: Path) -> None:
    run = semples.run(small(guidance__enabled=False), copied_run, until="pseudo-masks", quiet=True)
    assert stages(run)["3-refine"]["reason"] == "guidance.enabled is false"
    assert digests(run)["4-pseudo-masks"] != digests(finished)["4-pseudo-masks"]
    assert len(list((run / "4-pseudo-masks").glob("*.png"))) == 6


def test_a_vision_transformer_spreads_its_cams(tmp_path: Path) -> None:
    """A CLIP of random weights: with and without the affinity step, at a size that is not its own."""
    folder = save_clip(tmp_path / "clip")
    changes = {
        "vision_language__model": str(folder),
        "vision_language__image_size": 32,
        "mask_generator__background_words": ["water"],
        "data__pairs": {"boat": "water", "cat": "grass"},
    }
    spread, plain = (
        semples.run(
            small(**changes, mask_generator__affinity_steps=steps), tmp_path / name, until="classify", quiet=True
        )
        for name, steps in (("spread", None), ("plain", 0))
    )
    files = sorted(path.name for path in (plain / "0-classify" / "cams").iterdir())
    read = [[load_file(run / "0-classify" / "cams" / name)["cams"] for name in files] for run in (spread, plain)]
    assert any(not torch.equal(a, b) for a, b in zip(*read, strict=True))


class TestWords:
    @pytest.fixture
    def embedded(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Every word of the vocabulary that is embedded from now on."""
        seen: list[str] = []
        encode = VisionLanguageModel.encode_words

        def noted(self: VisionLanguageModel, words: list[str]) -> torch.Tensor:
            seen.extend(words)
            return encode(self, words)

        monkeypatch.setattr(VisionLanguageModel, "encode_words", noted)
        return seen

    def test_they_are_embedded_once(self, finished: Path, copied_run: Path, embedded: list[str]) -> None:
        semples.run(small(prompts__epochs=4), copied_run, until="prompts", quiet=True)
        assert "mushroom" not in embedded
        shutil.rmtree(copied_run / "cache")
        semples.run(small(prompts__epochs=4), copied_run, until="prompts", force="prompts", quiet=True)
        assert embedded.count("mushroom") == 1
        assert [path.name for path in (copied_run / "cache").iterdir()] == [
            path.name for path in (finished / "cache").iterdir()
        ]

    def test_a_list_of_the_users(self, copied_run: Path, tmp_path: Path, embedded: list[str]) -> None:
        words = tmp_path / "words.txt"
        words.write_text("water\n\n red grass \nsubmarine\nwater\n")
        config = small(prompts__words=str(words), prompts__nearest_words=4)
        semples.run(config, copied_run, until="prompts", quiet=True)
        # "submarine" is left out: the model does not know it
        assert {word for word, _ in semples.prompts(copied_run)["boat"]} == {"water", "red grass"}
        assert "mushroom" not in embedded
        words.write_text("water\nsky\nnight\n")
        semples.run(config, copied_run, until="prompts", quiet=True)
        assert {word for word, _ in semples.prompts(copied_run)["boat"]} == {"water", "sky", "night"}

    def test_a_list_that_is_not_there_is_told_before_anything_runs(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=mentions("prompts.words", "/no/such/words.txt")):
            semples.run(small(prompts__words="/no/such/words.txt"), tmp_path / "run", quiet=True)
        assert not (tmp_path / "run" / "manifest.json").exists()

    def test_an_empty_list_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "words.txt").write_text("\n \n")
        with pytest.raises(ConfigError, match=mentions(tmp_path / "words.txt", "word")):
            semples.run(small(prompts__words=str(tmp_path / "words.txt")), tmp_path / "run", quiet=True)

    def test_a_list_that_the_model_does_not_know_is_refused(self, copied_run: Path, tmp_path: Path) -> None:
        words = tmp_path / "words.txt"
        words.write_text("submarine\n")
        with pytest.raises(ConfigError, match=mentions("prompts.words", words)):
            semples.run(small(prompts__words=str(words)), copied_run, until="prompts", quiet=True)


def test_compare_leaves_matching_out(tmp_path: Path) -> None:
    result = semples.compare(small(), 1, tmp_path)
    assert result["methods"]["match"] is None
    assert {len(result["methods"][name]["oracle_miou"]) for name in ("classify", "manual", "full")} == {1}
    assert list(result["differences"]) == ["full - classify", "full - manual"]
    (run,) = tmp_path.glob("*-seed-0")
    manual = load_file(run / "compare-manual" / "mask_generator.safetensors")["backgrounds"]
    assert manual.shape == (2, 144)
