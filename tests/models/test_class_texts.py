"""Texts of a class with several phrases and templates, and the mean of their features."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from matching import mentions
from semples.errors import ConfigError
from semples.models.vision_language.background_words import usable_words
from semples.models.vision_language.class_texts import class_feature, class_texts
from semples.models.vision_language.loading import load_vision_language_model
from semples.models.vision_language.model import VisionLanguageModel
from tiny import VISION_LANGUAGE, save_clip

LONG = "sailing " * 12 + "boat"
"""13 words, where the tiny models read 16 tokens with the template."""


@pytest.fixture(scope="module", params=["align", "clip", "siglip", "siglip2"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return VISION_LANGUAGE[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def model(folder: Path) -> VisionLanguageModel:
    return load_vision_language_model(str(folder))


def test_the_mean_by_hand() -> None:
    # (1, 0) and (0.6, 0.8): the mean is (0.8, 0.4), its length sqrt(0.8), so the feature is (2, 1) / sqrt(5).
    features = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    torch.testing.assert_close(class_feature(features), torch.tensor([2.0, 1.0]) / 5**0.5)
    torch.testing.assert_close(class_feature(features, normalize=False), torch.tensor([0.8, 0.4]))


def test_a_single_feature_is_unchanged() -> None:
    feature = F.normalize(torch.rand(1, 9, generator=torch.Generator().manual_seed(3)), dim=-1)
    assert torch.equal(class_feature(feature), feature[0])


def test_every_phrase_is_in_every_template() -> None:
    assert class_texts(("man", "boy"), ("a {}.", "the {}")) == ["a man.", "the man", "a boy.", "the boy"]
    assert class_texts("man", ("a {}.",)) == ["a man."]


def test_one_phrase_and_one_template_are_bit_identical_to_the_texts(folder: Path, model: VisionLanguageModel) -> None:
    texts = model.encode_texts(["a photo of cat.", "a photo of sailing boat."])
    assert torch.equal(model.encode_classes(["cat", "sailing boat"]), texts)
    assert torch.equal(model.encode_classes([("cat",), ("sailing boat",)]), texts)
    assert torch.equal(model.encode_words(["cat", "sailing boat"]), texts)
    single = load_vision_language_model(str(folder), templates=["a photo of {}."])
    assert torch.equal(single.encode_classes(["cat", "sailing boat"]), texts)


def test_phrases_are_averaged(model: VisionLanguageModel) -> None:
    features = model.encode_classes([("cat", "sailing boat"), "water"])
    cat, boat, water = model.encode_classes(["cat", "sailing boat", "water"])
    torch.testing.assert_close(features[0], F.normalize((cat + boat) / 2, dim=-1))
    torch.testing.assert_close(features[1], water)
    torch.testing.assert_close(model.encode_classes([("cat", "sailing boat")], normalize=False)[0], (cat + boat) / 2)


def test_templates_are_averaged_and_leave_prompts_alone(folder: Path, model: VisionLanguageModel) -> None:
    templates = ["a photo of {}.", "photo {} of grass"]
    several = load_vision_language_model(str(folder), templates=templates)
    first, second = model.encode_texts([template.format("cat") for template in templates])
    torch.testing.assert_close(several.encode_classes(["cat"])[0], F.normalize((first + second) / 2, dim=-1))
    vectors = torch.rand(1, 2, model.prompt_width)
    assert torch.equal(several.encode_prompts(vectors), model.encode_prompts(vectors))
    assert torch.equal(several.encode_words(["cat"]), model.encode_words(["cat"]))


def test_many_texts_are_embedded_in_batches(model: VisionLanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [("cat", "boat", "grass"), ("water",), ("sailing", "photo")]
    whole = model.encode_classes(names)
    monkeypatch.setattr("semples.models.vision_language.model.TEXTS_AT_ONCE", 2)
    torch.testing.assert_close(model.encode_classes(names), whole)


def test_a_phrase_that_is_too_long_is_refused(model: VisionLanguageModel) -> None:
    count = len(model.tokenizer(f"a photo of {LONG}.")["input_ids"])
    assert count > 16
    named = ("data.prompt_names", f'"a photo of {LONG}."', count, 16, "vision_language.template")
    for names in (["cat", LONG], [("cat", LONG)]):
        with pytest.raises(ConfigError, match=mentions(*named)):
            model.encode_classes(names)
    with pytest.raises(ConfigError, match=mentions(f'"{LONG} {LONG}"', 16)):
        model.encode_texts([f"{LONG} {LONG}"])
    with pytest.raises(ConfigError, match=mentions("mask_generator.background_words", LONG, count, 16)):
        usable_words(model, ["cat"], ["water", LONG])
    with pytest.raises(ConfigError, match=mentions("data.background_words", LONG, count, 16)):
        usable_words(model, ["cat"], ["water"], [LONG])
    assert model.encode_words([LONG]).isfinite().all()  # words of a vocabulary are truncated
    assert model.has_room("sailing boat")
    assert not model.has_room(LONG)


def test_a_template_that_is_too_long_is_named(folder: Path) -> None:
    long = load_vision_language_model(str(folder), templates=["a {}", f"{LONG} {LONG} {{}}"])
    with pytest.raises(ConfigError, match=mentions("vision_language.templates", f'"{LONG} {LONG} a"', 16, "template")):
        long.encode_classes(["cat"])


def test_the_longest_text_that_fits_is_accepted(tmp_path: Path) -> None:
    model = load_vision_language_model(str(save_clip(tmp_path)))
    fitting = " ".join(["boat"] * 10)  # with <s>, "a photo of", "." and </s> 16 tokens
    assert model.encode_classes([fitting]).shape == (1, 8)
    with pytest.raises(ConfigError, match=mentions(17, 16)):
        model.encode_classes([f"{fitting} boat"])


def test_no_phrase_of_a_class_is_a_background(model: VisionLanguageModel) -> None:
    names = [("cat", "Sailing"), ("boat",)]
    assert usable_words(model, names, ["sailing", "water", "boat", "submarine"], ["grass", "water"]) == [
        "water",
        "grass",
    ]
