"""The frozen vision-language model: CLIP, SigLIP and ALIGN against transformers' own forward."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModel, AutoTokenizer

from semples.errors import ModelError
from semples.models.vision_language.loading import load_vision_language_model
from semples.models.vision_language.model import VisionLanguageModel
from tiny import MEAN, STD, VISION_LANGUAGE, save_backbone, save_clip, save_naflex, save_siglip

TEXTS = ["a photo of cat.", "a photo of sailing boat."]


@pytest.fixture(scope="module", params=sorted(VISION_LANGUAGE))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return VISION_LANGUAGE[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def model(folder: Path) -> VisionLanguageModel:
    return load_vision_language_model(str(folder))


def reference_texts(folder: Path) -> torch.Tensor:
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="right")
    tokens = tokenizer(TEXTS, padding="max_length", max_length=16, return_tensors="pt")
    reference: Any = AutoModel.from_pretrained(folder).eval()
    mask = {"attention_mask": tokens["attention_mask"]} if reference.config.model_type == "align" else {}
    features: torch.Tensor = reference.get_text_features(input_ids=tokens["input_ids"], **mask).pooler_output
    return F.normalize(features.detach(), dim=-1)


def test_texts_are_those_of_transformers(folder: Path, model: VisionLanguageModel) -> None:
    torch.testing.assert_close(model.encode_texts(TEXTS), reference_texts(folder), atol=1e-5, rtol=0)


def test_classes_stand_inside_the_template(model: VisionLanguageModel) -> None:
    torch.testing.assert_close(model.encode_classes(["cat", "sailing boat"]), model.encode_texts(TEXTS))


def test_images_are_normalised_with_the_models_own_mean(folder: Path, model: VisionLanguageModel) -> None:
    pixels = torch.rand(2, 3, 24, 24)
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    reference: Any = AutoModel.from_pretrained(folder).eval()
    expected = F.normalize(reference.get_image_features(pixel_values=(pixels - mean) / std).pooler_output, dim=-1)
    torch.testing.assert_close(model.encode_images(pixels), expected, atol=1e-5, rtol=0)
    assert model.fill.tolist() == pytest.approx(MEAN)


def test_images_of_any_size_are_resized(model: VisionLanguageModel) -> None:
    grey = torch.full((1, 3, 24, 24), 0.3)
    torch.testing.assert_close(model.encode_images(grey), model.encode_images(torch.full((1, 3, 50, 31), 0.3)))


def test_another_resolution_interpolates_positions(folder: Path, model: VisionLanguageModel) -> None:
    pixels = torch.rand(2, 3, 40, 40)
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    reference: Any = AutoModel.from_pretrained(folder).eval()
    options = {} if model.kind == "align" else {"interpolate_pos_encoding": True}
    features = reference.get_image_features(pixel_values=(pixels - mean) / std, **options).pooler_output
    larger = load_vision_language_model(str(folder), image_size=40)
    assert (model.image_size, larger.image_size) == (24, 40)
    torch.testing.assert_close(larger.encode_images(pixels), F.normalize(features, dim=-1), atol=1e-5, rtol=0)
    assert not torch.allclose(model.encode_images(pixels), larger.encode_images(pixels), atol=1e-4)


def test_the_scale_of_the_softmax_is_the_models_own(folder: Path, model: VisionLanguageModel) -> None:
    """As transformers has it: logits per image are scale * cosine (+ bias)."""
    tokens = AutoTokenizer.from_pretrained(folder, padding_side="right")(
        TEXTS, padding="max_length", max_length=16, return_tensors="pt"
    )
    reference: Any = AutoModel.from_pretrained(folder).eval()
    inputs = {"input_ids": tokens["input_ids"]}
    if model.kind == "align":
        inputs["attention_mask"] = tokens["attention_mask"]
    with torch.no_grad():
        output = reference(pixel_values=torch.rand(1, 3, 24, 24), **inputs)
        image, texts = (F.normalize(features, dim=-1) for features in (output.image_embeds, output.text_embeds))
    logits, cosines = output.logits_per_image[0], (image @ texts.T)[0]
    assert model.logit_scale == pytest.approx(float((logits[0] - logits[1]) / (cosines[0] - cosines[1])), rel=1e-3)


def test_siglip_reads_capitals_as_small_letters(folder: Path, model: VisionLanguageModel) -> None:
    if model.kind != "siglip":
        pytest.skip("trained on capitals as they are")
    torch.testing.assert_close(model.encode_classes(["Cat"]), model.encode_classes(["cat"]))
    upper = load_vision_language_model(str(folder), template="A Photo Of {}.")
    torch.testing.assert_close(upper.encode_classes(["cat"]), model.encode_classes(["cat"]))


def test_it_says_which_words_it_knows(model: VisionLanguageModel) -> None:
    assert model.knows("sailing boat")
    assert not model.knows("sailing submarine")


def test_a_prompt_of_word_embeddings_is_that_text(model: VisionLanguageModel) -> None:
    """Vectors copied from the embeddings of "sailing boat" have to give the feature of the text itself."""
    ids = model.tokenizer(["sailing boat"], add_special_tokens=False)["input_ids"]
    vectors = model.model.text_model.get_input_embeddings()(torch.tensor(ids))
    torch.testing.assert_close(model.encode_prompts(vectors), model.encode_classes(["sailing boat"]), atol=1e-5, rtol=0)


def test_gradients_reach_pixels_and_prompts_but_no_weight(model: VisionLanguageModel) -> None:
    pixels = torch.rand(1, 3, 24, 24, requires_grad=True)
    vectors = torch.rand(2, 3, model.prompt_width, requires_grad=True)
    (model.encode_images(pixels) @ torch.ones(model.encode_prompts(vectors).shape[1])).sum().backward()
    model.encode_prompts(vectors)[:, 0].sum().backward()
    assert pixels.grad is not None
    assert pixels.grad.abs().sum() > 0
    assert vectors.grad is not None
    assert vectors.grad.abs().sum() > 0
    assert all(p.grad is None and not p.requires_grad for p in model.parameters())


def test_it_never_leaves_evaluation_mode(model: VisionLanguageModel) -> None:
    assert not model.train().training


def test_too_long_prompts_name_the_room(model: VisionLanguageModel) -> None:
    with pytest.raises(ModelError, match=rf"prompts\.length: {model.longest_prompt + 1} .*{model.longest_prompt}"):
        model.encode_prompts(torch.rand(1, model.longest_prompt + 1, model.prompt_width))


def test_the_score_follows_the_model_type(model: VisionLanguageModel, folder: Path) -> None:
    if model.kind != "siglip":
        assert (model.score_kind, model.scale, model.bias) == ("cosine", 1.0, 0.0)
        with pytest.raises(ModelError, match=r"vision_language\.score: sigmoid"):
            load_vision_language_model(str(folder), score="sigmoid")
    else:
        assert model.score_kind == "sigmoid"
        assert [model.scale, model.bias] == pytest.approx([7.389, -3.0], abs=1e-3)
        assert load_vision_language_model(str(folder), score="cosine").score_kind == "cosine"


def test_a_backbone_is_no_vision_language_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=rf"{tmp_path}: .*\bvit\b.*CLIP, SigLIP or ALIGN"):
        load_vision_language_model(str(save_backbone(tmp_path, "vit")))


def test_a_siglip2_of_any_aspect_ratio_names_its_alternative(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"siglip2 .* google/siglip2-base-patch16-224"):
        load_vision_language_model(str(save_naflex(tmp_path)))


def test_images_smaller_than_a_patch_are_refused(tmp_path: Path) -> None:
    folder = str(save_clip(tmp_path))
    with pytest.raises(ModelError, match=r"vision_language\.image_size: 7 .*\b8\b.*null for 24"):
        load_vision_language_model(folder, image_size=7)


@pytest.mark.parametrize(("save", "mean"), [(save_clip, 0.4815), (save_siglip, 0.5)])
def test_without_a_preprocessor_it_takes_the_statistics_of_its_kind(save: Any, mean: float, tmp_path: Path) -> None:
    """https://github.com/openai/CLIP (clip.py) and the SigLIP checkpoints' own preprocessor_config.json."""
    folder = save(tmp_path)
    (folder / "preprocessor_config.json").unlink()
    assert float(load_vision_language_model(str(folder)).fill[0]) == pytest.approx(mean, abs=1e-4)


class TestNetwork:
    @pytest.fixture(autouse=True)
    def without_network(self, monkeypatch: pytest.MonkeyPatch) -> list[object]:
        asked: list[object] = []

        def refuse(*arguments: object, **_: object) -> None:
            asked.append(arguments)
            raise OSError("no network in this test")

        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        return asked

    def test_a_folder_needs_none(self, folder: Path, without_network: list[object]) -> None:
        load_vision_language_model(str(folder))
        assert without_network == []

    def test_offline_a_hub_name_is_not_looked_up(
        self, monkeypatch: pytest.MonkeyPatch, without_network: list[object]
    ) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(ModelError, match=r"nobody/nothing: .*HF_HUB_OFFLINE"):
            load_vision_language_model("nobody/nothing")
        assert without_network == []


def test_a_missing_folder_is_named() -> None:
    with pytest.raises(ModelError, match=r"^/no/such/model: .*hub name"):
        load_vision_language_model("/no/such/model")


def test_an_empty_tokenizer_is_refused(tmp_path: Path) -> None:
    """Without its files transformers makes a CLIP tokenizer of two tokens, and raises nothing."""
    folder = save_clip(tmp_path)
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "CLIPTokenizer"}')
    with pytest.raises(ModelError, match=rf"{tmp_path}: the tokenizer has 2 tokens, .*\b13\b.*tokenizer files"):
        load_vision_language_model(str(folder))


def test_a_wrong_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = save_clip(tmp_path)
    AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
    path = folder / "tokenizer.json"
    path.write_text(path.read_text().replace('"sailing"', '"x0"').replace('"<unk>": 3', '"<unk>": 3'))
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"vocab_size": 13', '"vocab_size": 99'))
    with pytest.raises(ModelError, match=r"cannot load|tokenizer has 13 tokens, .*\b99\b"):
        load_vision_language_model(str(folder))


def test_features_without_normalisation_have_the_same_direction(model: VisionLanguageModel) -> None:
    pixels, vectors = torch.rand(2, 3, 24, 24), torch.rand(2, 3, model.prompt_width)
    for raw, normalised in (
        (model.encode_images(pixels, normalize=False), model.encode_images(pixels)),
        (model.encode_texts(TEXTS, normalize=False), model.encode_texts(TEXTS)),
        (model.encode_classes(["cat"], normalize=False), model.encode_classes(["cat"])),
        (model.encode_prompts(vectors, normalize=False), model.encode_prompts(vectors)),
    ):
        assert (raw.norm(dim=-1) - 1).abs().max() > 1e-3
        torch.testing.assert_close(F.normalize(raw, dim=-1), normalised)


def test_other_statistics_take_the_place_of_its_own(folder: Path) -> None:
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    other, pixels = load_vision_language_model(str(folder), statistics=(mean, std)), torch.rand(1, 3, 24, 24)
    assert other.fill.tolist() == pytest.approx(mean)
    own = load_vision_language_model(str(folder))
    normalised = (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    back = normalised * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)
    torch.testing.assert_close(other.encode_images(pixels), own.encode_images(back), atol=1e-5, rtol=0)


def test_a_bare_stop_needs_a_tokenizer_that_marks_the_ends_of_words(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"vision_language\.prompt_stop: bare .*\['\.', '"):
        load_vision_language_model(str(folder), prompt_stop="bare")


def test_the_bare_stop_of_clip(shared_data: Path) -> None:
    """Ids from the golden numbers' README: 13 is the bare piece (269 would end a word), 49407 ends the text."""
    folder = str(shared_data / "parity" / "weights" / "clip_hf")
    assert load_vision_language_model(folder, prompt_stop="bare").suffix == [13, 49407]
