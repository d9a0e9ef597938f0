"""Whole runs with the mask generator dense: nothing trains but the prompts."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

import semples
from matching import assert_mentions
from run_files import TINY, artefacts, config_from, stages
from tiny import save_clip, save_siglip

pytestmark = pytest.mark.whole

DENSE = {
    **TINY,
    "data.val_size": 2,
    "data.image_size": 64,
    "mask_generator.name": "dense",
    "mask_generator.image_size": 64,
    "mask_generator.softmax_scale": 40,
    "prompts.epochs": 3,
    "segment.image_size": 64,
    "segment.supervised_bound": False,
}
small = partial(config_from, DENSE)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return semples.run(small(), tmp_path_factory.mktemp("dense") / "run", quiet=True)


def test_stage_1_is_skipped_with_its_reason(finished: Path) -> None:
    assert {name: entry["status"] for name, entry in stages(finished).items() if entry["status"] != "done"} == {
        "1-match": "skipped",
        "5-supervised-bound": "skipped",
    }
    assert_mentions(stages(finished)["1-match"]["reason"], "dense")
    cams = json.loads((finished / "evaluation.json").read_text())["cams"]
    assert cams["match"] is None
    assert cams["classify"]["images"] == cams["refine"]["images"] == 6


def test_the_prompts_join_the_background_words(finished: Path) -> None:
    first, last = (
        load_file(finished / stage / "mask_generator.safetensors")["backgrounds"]
        for stage in ("0-classify", "3-refine")
    )
    assert first.shape == (6, 144)  # grass, wall, sky, water, house, road: what the bundled model knows of the list
    assert last.shape == (2 + 6, 144)  # one prompt per class, beside the words
    trained = {json.loads(line)["stage"] for line in (finished / "metrics.jsonl").read_text().splitlines()}
    assert trained == {"prompts", "segment"}


class KilledError(BaseException):
    """The end of the process."""


@pytest.mark.parametrize("stage", ["0-classify", "3-refine"])
def test_a_run_killed_between_two_cams_ends_with_the_same_bytes(
    stage: str, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, replace = tmp_path / "run", Path.replace

    def until_the_third(path: Path, target: Path) -> Path:
        folder = run / stage / "cams"
        if target.parent == folder and len(list(folder.glob("*.safetensors"))) == 2:
            raise KilledError
        return replace(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", until_the_third)
        with pytest.raises(KilledError):
            semples.run(small(), run, quiet=True)
    assert stages(run).get("4-pseudo-masks") is None
    semples.run(small(), run, quiet=True)
    assert artefacts(run) == artefacts(finished)


def test_a_finished_run_is_reused_and_its_prompts_can_be_recreated(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "copy"
    shutil.copytree(finished, run)
    semples.run(small(), run, quiet=True)
    assert stages(run) == stages(finished)
    (run / "2-prompts" / "prompts.safetensors").unlink()
    semples.run(small(), run, force="prompts", quiet=True)
    assert artefacts(run) == artefacts(finished)


@pytest.mark.parametrize("change", [("softmax_scale", 10), ("window", 32)], ids=str)
def test_other_settings_of_the_generator_run_it_all_again(
    change: tuple[str, int], finished: Path, tmp_path: Path
) -> None:
    run = tmp_path / "copy"
    shutil.copytree(finished, run)
    semples.run(small(**{f"mask_generator__{change[0]}": change[1]}), run, until="classify", quiet=True)
    assert stages(run)["0-classify"]["digest"] != stages(finished)["0-classify"]["digest"]
    before, after = (
        {path.name: path.read_bytes() for path in (each / "0-classify" / "cams").iterdir()} for each in (finished, run)
    )
    assert before.keys() == after.keys()
    assert before != after


def test_its_generator_opens_in_memory(finished: Path) -> None:
    generator = semples.MaskGenerator.from_run(finished)
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    maps = generator.cams(pixels, ["boat"])
    assert maps["boat"].shape == generator.mask(pixels, ["boat"]).shape == (50, 70)


def test_without_guidance_the_background_words_remain(tmp_path: Path) -> None:
    run = semples.run(small(guidance__enabled=False), tmp_path / "run", until="pseudo-masks", quiet=True)
    assert stages(run)["3-refine"]["reason"] == "guidance.enabled is false"
    assert len(list((run / "4-pseudo-masks").glob("*.png"))) == 6


def test_no_background_words_are_none_until_there_are_prompts(tmp_path: Path) -> None:
    run = semples.run(small(mask_generator__background_words=[]), tmp_path / "run", until="refine", quiet=True)
    first, last = (
        load_file(run / stage / "mask_generator.safetensors")["backgrounds"] for stage in ("0-classify", "3-refine")
    )
    assert first.shape == (0, 144)
    assert last.shape == (2, 144)


def test_another_seed_changes_the_prompts_and_not_the_cams_of_stage_0(finished: Path, tmp_path: Path) -> None:
    """On the same images; untrained generators have nothing random in stage 0."""
    images = {"data.reader": "folder", "data.root": str(finished / "scenes"), "data.val_fraction": 0}
    settings = {key: value for key, value in DENSE.items() if not key.startswith("data.")} | images
    settings["vision_language.model"] = "bundled/scenes"
    runs = [
        semples.run(config_from(settings, seed=seed), tmp_path / str(seed), until="prompts", quiet=True)
        for seed in (0, 1)
    ]
    digests = [{name: entry["digest"] for name, entry in stages(run).items()} for run in runs]
    assert digests[0]["0-classify"] == digests[1]["0-classify"]
    assert digests[0]["2-prompts"] != digests[1]["2-prompts"]
    assert len({(run / "2-prompts/prompts.safetensors").read_bytes() for run in runs}) == 2


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_vision_transformers_see_large_images_in_windows(kind: str, tmp_path: Path) -> None:
    """A model of random weights: windows of 32 pixels on images of 64, through stage 3."""
    folder = (save_clip if kind == "clip" else save_siglip)(tmp_path / kind)
    settings = {
        "vision_language__model": str(folder),
        "mask_generator__background_words": ["water"],
        "mask_generator__window": 32,
        "data__pairs": {"boat": "water", "cat": "grass"},
        "prompts__length": 2,
    }
    run = semples.run(small(**settings), tmp_path / "run", until="refine", quiet=True)
    assert len(list((run / "3-refine" / "cams").iterdir())) == 6


def test_compare_leaves_matching_out(tmp_path: Path) -> None:
    result = semples.compare(small(mask_generator__window=32), 1, tmp_path, quiet=True)
    assert result["methods"]["match"] is None
    assert {len(result["methods"][name]["oracle_miou"]) for name in ("classify", "manual", "full")} == {1}
    assert list(result["differences"]) == ["full - classify", "full - manual"]
