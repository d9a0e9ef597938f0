"""Phrases of classes that a run gives to its vision-language model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

import semples
from matching import mentions
from run_files import TINY, config_from
from semples.config.loading import load_config
from semples.data.catalogues import catalogue_from_names
from semples.errors import ConfigError, DataError
from semples.records import Dataset, Sample
from semples.rundir.dataset import parse_dataset, read_dataset, write_dataset
from semples.runtime.models import RunModels
from semples.runtime.setup import open_run
from semples.stages.stage_warnings import collapsed_prompts
from tiny import save_clip_of_letters

SCENES = {**TINY, "data.image_size": 64, "mask_generator.image_size": 64}
SCENES_MODEL = {"vision_language__model": "bundled/scenes"}


def folder_run(root: Path, *classes: str, **changes: Any) -> tuple[RunModels, list[str]]:
    """Open a run on a folder with one image per class; return its models, and the list of their remarks."""
    for name in classes:
        (root / name).mkdir(parents=True)
        Image.new("RGB", (64, 64)).save(root / name / f"{name}.png")
    settings = {"data.reader": "folder", "data.root": str(root), "device": "cpu"}
    remarks: list[str] = []
    run = open_run(config_from(settings, **changes), root.parent / "run", quiet=True)
    return replace(run.models, report=remarks.append), remarks


def test_suggestions_that_the_model_does_not_know_are_left_out_and_told_once(tmp_path: Path) -> None:
    models, remarks = folder_run(tmp_path / "photos", "boat", "rail", "sheep", **SCENES_MODEL)
    assert models.phrases == (("boat", "ship"), ("rail", "rails"), ("sheep", "lamb"))  # rails is a context of scenes
    models.class_features()
    assert remarks == ["prompt names: the model does not know sailing boat, rowing boat, boats; left out"]


def test_published_settings_take_no_suggestions(tmp_path: Path) -> None:
    clip = str(save_clip_of_letters(tmp_path / "clip"))  # knows every word
    for published, phrases in ((False, ("boat", "ship", "sailing boat", "rowing boat", "boats")), (True, ("boat",))):
        changes = {"published": published, "vision_language__model": clip}
        models, remarks = folder_run(tmp_path / f"photos-{published}", "boat", **changes)
        assert models.phrases == (phrases,)
        assert remarks == []


def test_a_phrase_of_the_users_that_the_model_does_not_know_is_an_error(tmp_path: Path) -> None:
    models, _ = folder_run(tmp_path / "photos", "boat", "cat", data__prompt_names={"boat": ["boat", "submarine"]})
    with pytest.raises(ConfigError, match=mentions("data.prompt_names.boat", '"submarine"')):
        models.class_features()


@pytest.mark.parametrize("phrase", ["submarine", "boat " * 70])
def test_a_bad_phrase_of_the_users_ends_a_run_before_its_first_training(tmp_path: Path, phrase: str) -> None:
    config = load_config(overrides={**SCENES, "data.prompt_names": {"boat": ["boat", phrase]}})
    with pytest.raises(ConfigError, match=mentions("data.prompt_names", phrase.strip())):
        semples.run(config, tmp_path / "run", until="classify", quiet=True)
    assert not (tmp_path / "run" / "0-classify" / "mask_generator.safetensors").exists()


def test_scenes_have_single_phrases(tmp_path: Path) -> None:
    run = open_run(load_config(overrides=SCENES), tmp_path / "run", quiet=True)
    assert run.models.phrases == (("boat",), ("ball",))
    names = list(run.dataset.catalogue.prompt_names)
    assert torch.equal(run.models.class_features(), run.models.vision_language.encode_classes(names).detach())


@pytest.mark.parametrize("where", ["yaml", "words"])
def test_several_phrases_and_templates_change_the_class_texts(tmp_path: Path, where: str) -> None:
    file = tmp_path / "my.yaml"
    file.write_text(
        "data:\n  prompt_names: {boat: [boat, water]}\n"
        "vision_language:\n  templates:\n    - a photo of {}.\n    - a {} photo\n"
    )
    words = [*(f"--{key}={json.dumps(value)}" for key, value in SCENES.items() if key != "device"), "--device=cpu"]
    if where == "words":
        words += ["--data.prompt_names.boat", "[boat, water]"]
        words += ["--vision_language.templates", '["a photo of {}.", "a {} photo"]']
    run = open_run(load_config(file if where == "yaml" else None, words), tmp_path / "run", quiet=True)
    model = run.models.vision_language
    assert run.models.phrases == (("boat", "water"), ("ball",))
    texts = ["a photo of boat.", "a boat photo", "a photo of water.", "a water photo"]
    expected = torch.nn.functional.normalize(model.encode_texts(texts).mean(0), dim=-1)
    torch.testing.assert_close(run.models.class_features()[0], expected)
    assert read_dataset(run.directory.dataset).catalogue == run.dataset.catalogue
    assert load_config(run.directory.config) == run.config


def test_backgrounds_of_a_class_join_the_common_list(tmp_path: Path) -> None:
    words = {"boat": ["snow", "sky", "ball", "harbour"]}  # ball is a class, harbour unknown to the bundled model
    changes = {"mask_generator.name": "clip", "mask_generator.background_words": ["wall", "sky"]}
    config = load_config(overrides={**SCENES, **changes, "data.background_words": words})
    run = open_run(config, tmp_path / "run", quiet=True)
    backgrounds = run.models.build_generator().backgrounds
    torch.testing.assert_close(backgrounds, run.models.vision_language.encode_classes(["wall", "sky", "snow"]))


def test_backgrounds_of_an_unknown_class_are_an_error_before_anything_is_written(tmp_path: Path) -> None:
    config = load_config(overrides={**SCENES, "data.background_words": {"bot": ["water"]}})
    with pytest.raises(ConfigError, match=mentions("data.background_words", '"bot"', "boat")):
        open_run(config, tmp_path / "run", quiet=True)
    assert not (tmp_path / "run" / "config.yaml").exists()


class TestDatasetFile:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        catalogue = catalogue_from_names(["boat", "cat"], {"boat": ["ship", "yacht"]}, suggestions={"cat": ["cats"]})
        sample = Sample("a", tmp_path / "a.png", (8, 8), (0,))
        write_dataset(tmp_path / "dataset.json", Dataset(catalogue, (sample,), ()))
        return tmp_path / "dataset.json"

    def test_all_phrases_are_read_back(self, file: Path) -> None:
        catalogue = read_dataset(file).catalogue
        assert catalogue.prompt_names == ("ship", "cat")
        assert (catalogue.synonyms, catalogue.suggestions) == ((("yacht",), ()), ((), ("cats",)))

    def test_a_file_of_an_earlier_version_has_one_phrase_per_class(self, file: Path) -> None:
        content = json.loads(file.read_text())
        del content["synonyms"], content["suggestions"]
        catalogue = parse_dataset(json.dumps(content)).catalogue
        assert (catalogue.phrases, catalogue.suggestions) == ((("ship",), ("cat",)), ())

    @pytest.mark.parametrize("value", ["ab", {"a": 1}, ["ab", "c"], [["a"]], [[1], []]])
    def test_a_damaged_list_is_an_error(self, file: Path, value: object) -> None:
        content = json.loads(file.read_text())
        file.write_text(json.dumps({**content, "synonyms": value}))
        with pytest.raises(DataError, match=mentions(file, "synonyms")):
            read_dataset(file)


@pytest.mark.parametrize(("word", "warned"), [("yacht", True), ("Ships", True), ("boat", True), ("water", False)])
def test_a_prompt_nearest_to_any_phrase_of_its_class_is_told(tmp_path: Path, word: str, warned: bool) -> None:
    catalogue = catalogue_from_names(["boat"], {"boat": ["ship", "yacht"]}, suggestions={"boat": ["ships"]})
    path = tmp_path / "words.json"
    path.write_text(json.dumps({"epochs": [1], "words": {"boat": [[[word, 0.9]]]}}))
    run: Any = SimpleNamespace(
        dataset=SimpleNamespace(catalogue=catalogue), directory=SimpleNamespace(words=path), config=load_config()
    )
    assert [word in text for text in collapsed_prompts(run)] == [True] * warned
