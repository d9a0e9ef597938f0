"""CAMs from single places of the vision-language model: forward passes written out by hand, softmax, windows."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoModel

from matching import mentions
from semples.config.loading import load_config
from semples.config.mask_generator import GeneratorParts
from semples.errors import ConfigError, ModelError
from semples.models.generators.base import MaskGeneratorOutput
from semples.models.generators.clip.generator import ClipGenerator
from semples.models.generators.dense.generator import (
    DenseGenerator,
    class_probabilities,
    place_cosines,
    shifted_cosines,
)
from semples.models.generators.dense.settings import DenseConfig
from semples.models.vision_language.loading import load_vision_language_model
from semples.models.vision_language.model import VisionLanguageModel
from semples.runtime.regions import places_of
from tiny import MEAN, STD, VISION_LANGUAGE, save_siglip

NAMES, BACKGROUNDS = ("cat", "boat"), ("water", "grass")
CELLS = {"align": 4, "clip": 8, "siglip": 8}
Weights = dict[str, Tensor]


def save_spread(kind: str, folder: Path) -> Path:
    """A tiny model whose weights all differ, biases and statistics included: none can be forgotten unnoticed."""
    VISION_LANGUAGE[kind](folder)
    model: Any = AutoModel.from_pretrained(folder)
    generator = torch.Generator().manual_seed(1)
    for name, value in model.state_dict().items():
        if value.is_floating_point() and value.dim() > 0:
            noise = 0.2 * torch.randn(value.shape, generator=generator)
            value.add_(noise.abs() if name.endswith("running_var") else noise)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["align", "clip", "siglip"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_spread(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def model(folder: Path) -> VisionLanguageModel:
    return load_vision_language_model(str(folder))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> VisionLanguageModel:
    return load_vision_language_model(str(save_spread("clip", tmp_path_factory.mktemp("clip"))))


@pytest.fixture(scope="module")
def generator(model: VisionLanguageModel) -> DenseGenerator:
    return DenseGenerator(model, NAMES, BACKGROUNDS)


def random_image(height: int = 48, width: int = 32, batch: int = 2) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(0))


# Forward passes by hand


def linear(tokens: Tensor, weights: Weights, name: str) -> Tensor:
    return tokens @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def layer_norm(tokens: Tensor, weights: Weights, name: str, eps: float) -> Tensor:
    centered = tokens - tokens.mean(-1, keepdim=True)
    deviation = (centered.square().mean(-1, keepdim=True) + eps).sqrt()
    return centered / deviation * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def patch_tokens(pixels: Tensor, weight: Tensor, positions: Tensor) -> Tensor:
    """Patches of 8 x 8 as vectors, projected; positions [9, C] of the 3 x 3 grid are interpolated."""
    rows, columns = pixels.shape[-2] // 8, pixels.shape[-1] // 8
    split: Tensor = pixels.unflatten(3, (columns, 8)).unflatten(2, (rows, 8))  # [B, 3, rows, 8, columns, 8]
    patches = split.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
    grid = positions.T.reshape(1, -1, 3, 3)
    moved = F.interpolate(grid, (rows, columns), mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)
    return patches @ weight.flatten(1).T + moved


def attended(normed: Tensor, weights: Weights, name: str, kind: str = "plain") -> Tensor:
    """Attention with two heads of 8 channels."""
    queries, keys, values = (linear(normed, weights, f"{name}.{part}_proj") for part in "qkv")
    heads = []
    for part in (slice(0, 8), slice(8, 16)):
        q, k, v = queries[..., part], keys[..., part], values[..., part]
        if kind == "plain":
            shares = (q @ k.mT / 8**0.5).softmax(-1)
        else:
            shares = (q @ q.mT / 8**0.5).softmax(-1) + (k @ k.mT / 8**0.5).softmax(-1)
        heads.append(shares @ v)
    mixed = values if kind == "value" else torch.cat(heads, -1)
    return linear(mixed, weights, f"{name}.out_proj")


def block(tokens: Tensor, weights: Weights, name: str, activation: Any, eps: float) -> Tensor:
    tokens = tokens + attended(layer_norm(tokens, weights, f"{name}.layer_norm1", eps), weights, f"{name}.self_attn")
    hidden = activation(linear(layer_norm(tokens, weights, f"{name}.layer_norm2", eps), weights, f"{name}.mlp.fc1"))
    return tokens + linear(hidden, weights, f"{name}.mlp.fc2")


def clip_by_hand(weights: Weights, pixels: Tensor, attention: str) -> Tensor:
    tower, eps = "vision_model", 1e-5
    positions = weights[f"{tower}.embeddings.position_embedding.weight"]
    patches = patch_tokens(pixels, weights[f"{tower}.embeddings.patch_embedding.weight"], positions[1:])
    class_token = (weights[f"{tower}.embeddings.class_embedding"] + positions[0]).expand(len(pixels), 1, -1)
    tokens = layer_norm(torch.cat([class_token, patches], 1), weights, f"{tower}.pre_layrnorm", eps)
    first, last = (f"{tower}.encoder.layers.{number}" for number in (0, 1))
    tokens = block(tokens, weights, first, quick_gelu, eps)
    if attention == "plain":
        tokens = block(tokens, weights, last, quick_gelu, eps)
    else:
        normed = layer_norm(tokens, weights, f"{last}.layer_norm1", eps)
        tokens = attended(normed, weights, f"{last}.self_attn", attention)
    tokens = layer_norm(tokens, weights, f"{tower}.post_layernorm", eps)[:, 1:]
    return tokens @ weights["visual_projection.weight"].T


def siglip_by_hand(weights: Weights, pixels: Tensor, attention: str) -> Tensor:
    assert attention == "value"
    tower, eps = "vision_model", 1e-6
    positions = weights[f"{tower}.embeddings.position_embedding.weight"]
    tokens = patch_tokens(pixels, weights[f"{tower}.embeddings.patch_embedding.weight"], positions)
    tokens = tokens + weights[f"{tower}.embeddings.patch_embedding.bias"]
    for number in (0, 1):
        tokens = block(tokens, weights, f"{tower}.encoder.layers.{number}", tanh_gelu, eps)
    tokens = layer_norm(tokens, weights, f"{tower}.post_layernorm", eps)
    head = f"{tower}.head"
    value = slice(32, 48)  # behind the 16 rows of the query and of the key
    values = tokens @ weights[f"{head}.attention.in_proj_weight"][value].T
    values = values + weights[f"{head}.attention.in_proj_bias"][value]
    values = linear(values, weights, f"{head}.attention.out_proj")
    hidden = tanh_gelu(linear(layer_norm(values, weights, f"{head}.layernorm", eps), weights, f"{head}.mlp.fc1"))
    return values + linear(hidden, weights, f"{head}.mlp.fc2")


def align_by_hand(weights: Weights, pixels: Tensor, attention: str) -> Tensor:
    """Stem of stride 2; a block of stride 2; a block that doubles its channels first. No shortcut joins any of them."""
    assert attention == "none"

    def batch_norm(maps: Tensor, name: str) -> Tensor:
        mean, variance, weight, bias = (
            weights[f"{name}.{part}"].view(-1, 1, 1) for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (maps - mean) / (variance + 1e-3).sqrt() * weight + bias

    def point(maps: Tensor, name: str) -> Tensor:
        return torch.einsum("bchw,oc->bohw", maps, weights[f"{name}.weight"][..., 0, 0])

    def squeeze_excite(maps: Tensor, name: str) -> Tensor:
        mean = maps.mean((2, 3), keepdim=True)
        reduced = F.silu(point(mean, f"{name}.reduce") + weights[f"{name}.reduce.bias"].view(-1, 1, 1))
        return maps * (point(reduced, f"{name}.expand") + weights[f"{name}.expand.bias"].view(-1, 1, 1)).sigmoid()

    stem = "vision_model.embeddings"
    maps = F.conv2d(F.pad(pixels, (0, 1, 0, 1)), weights[f"{stem}.convolution.weight"], stride=2)
    maps = F.silu(batch_norm(maps, f"{stem}.batchnorm"))
    for number, stride in ((0, 2), (1, 1)):
        name = f"vision_model.encoder.blocks.{number}"
        if number == 1:
            maps = F.silu(batch_norm(point(maps, f"{name}.expansion.expand_conv"), f"{name}.expansion.expand_bn"))
        padded = F.pad(maps, (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1))
        depthwise = weights[f"{name}.depthwise_conv.depthwise_conv.weight"]
        maps = F.conv2d(padded, depthwise, stride=stride, groups=len(depthwise))
        maps = F.silu(batch_norm(maps, f"{name}.depthwise_conv.depthwise_norm"))
        maps = squeeze_excite(maps, f"{name}.squeeze_excite")
        maps = batch_norm(point(maps, f"{name}.projection.project_conv"), f"{name}.projection.project_bn")
    places: Tensor = maps.flatten(2).transpose(1, 2)
    return places


def quick_gelu(values: Tensor) -> Tensor:
    return values * (1.702 * values).sigmoid()


def tanh_gelu(values: Tensor) -> Tensor:
    inner = math.sqrt(2 / math.pi) * (values + 0.044715 * values**3)
    return 0.5 * values * (1 + inner.tanh())


BY_HAND = {
    ("align", None): (align_by_hand, "none"),
    ("clip", "plain"): (clip_by_hand, "plain"),
    ("clip", "value"): (clip_by_hand, "value"),
    ("clip", "query_key"): (clip_by_hand, "query_key"),
    ("clip", None): (clip_by_hand, "query_key"),
    ("siglip", "value"): (siglip_by_hand, "value"),
    ("siglip", None): (siglip_by_hand, "value"),
}


@pytest.mark.parametrize("size", [(24, 24), (32, 16)], ids=str)
@pytest.mark.parametrize(("kind", "attention"), BY_HAND)
def test_features_and_cams_are_those_computed_by_hand(
    kind: str, attention: Any, size: tuple[int, int], tmp_path: Path
) -> None:
    folder = save_spread(kind, tmp_path)
    reference: Any = AutoModel.from_pretrained(folder)
    weights: Weights = {name: value.double() for name, value in reference.state_dict().items()}
    pixels = random_image(*size).double()
    mean, std = (torch.tensor(part).double().view(3, 1, 1) for part in (MEAN, STD))
    forward, meant = BY_HAND[kind, attention]
    expected = forward(weights, (pixels - mean) / std, meant)
    grid = (size[0] // CELLS[kind], size[1] // CELLS[kind])

    model = load_vision_language_model(str(folder)).double()
    found = model.dense_features(pixels, attention)
    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected.unflatten(1, grid), atol=1e-6, rtol=1e-6)

    generator = DenseGenerator(model, NAMES, BACKGROUNDS, attention, softmax_scale=7.0)
    texts = torch.cat([model.encode_classes(["boat"]), model.encode_classes(list(BACKGROUNDS))])
    cosines = expected / expected.norm(dim=-1, keepdim=True) @ texts.T
    probability = (7 * cosines).exp() / (7 * cosines).exp().sum(-1, keepdim=True)
    cams = generator(pixels, torch.tensor([[0.0, 1.0]] * 2)).cams
    torch.testing.assert_close(cams[:, 1], probability[..., 0].unflatten(1, grid), atol=1e-6, rtol=1e-6)
    assert cams[:, 0].abs().sum() == 0


class TestFeatures:
    def test_any_size_has_whole_places(self, model: VisionLanguageModel) -> None:
        found = model.dense_features(random_image(53, 29))
        assert found.shape[:3] == ((2, 13, 7) if model.kind == "align" else (2, 7, 4))
        narrow = model.dense_features(random_image(1, 50))
        assert narrow.shape[1:3] == ((1, 12) if model.kind == "align" else (1, 6))
        assert narrow.isfinite().all()

    def test_the_pooled_places_of_align_are_its_image_feature(self, tmp_path: Path) -> None:
        model, pixels = load_vision_language_model(str(save_spread("align", tmp_path))), random_image(24, 24)
        pooled = F.normalize(model.dense_features(pixels).mean((1, 2)), dim=-1)
        torch.testing.assert_close(pooled, model.encode_images(pixels), atol=1e-5, rtol=0)

    def test_a_siglip_that_sees_one_patch_everywhere_has_its_image_feature_there(self, tmp_path: Path) -> None:
        """Without positions all tokens of a flat image are alike: attention to all is attention to one."""
        model = load_vision_language_model(str(save_spread("siglip", tmp_path)))
        model.model.vision_model.embeddings.position_embedding.weight.zero_()
        flat = torch.full((1, 3, 24, 24), 0.3)
        places = F.normalize(model.dense_features(flat), dim=-1)
        torch.testing.assert_close(places, model.encode_images(flat).expand(1, 3, 3, -1), atol=1e-5, rtol=0)

    @pytest.mark.parametrize(
        ("kind", "attention", "advice"),
        [("align", "value", "null"), ("siglip", "plain", "value"), ("siglip", "query_key", "value")],
    )
    def test_an_attention_that_the_tower_lacks(self, kind: str, attention: Any, advice: str, tmp_path: Path) -> None:
        model = load_vision_language_model(str(VISION_LANGUAGE[kind](tmp_path)))
        with pytest.raises(ModelError, match=mentions("mask_generator.attention", attention, kind, advice)):
            DenseGenerator(model, NAMES, BACKGROUNDS, attention)
        with pytest.raises(ModelError, match=mentions("mask_generator.attention", attention, kind, advice)):
            model.dense_features(random_image(), attention)

    def test_a_siglip_without_its_head_is_refused(self, tmp_path: Path) -> None:
        headless = load_vision_language_model(str(save_siglip(tmp_path)))
        headless.model.vision_model.head = None
        with pytest.raises(ModelError, match=mentions("vision_language.model", "pooling head", "dense")):
            headless.dense_features(random_image())


class TestProbabilities:
    def test_two_classes_and_a_background_by_hand(self) -> None:
        """Logits 2 ln 2, 0 and ln 2 of a place: shares 4, 1 and 2 of 7, or 4 and 2 of 6 without the second class."""
        cosines = torch.tensor([2.0, 0.0, 1.0]).view(1, 3, 1, 1).expand(2, -1, -1, -1)
        labels = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
        found = class_probabilities(cosines, labels, scale=torch.tensor(2.0).log().item())
        torch.testing.assert_close(found[..., 0, 0], torch.tensor([[4 / 7, 1 / 7], [4 / 6, 0.0]]))
        assert found[1, 1].item() == 0

    def test_shifted_cosines_by_hand(self) -> None:
        cosines = torch.tensor([[-1.0, 0.5], [0.0, 1.0]])[:, :, None, None]
        found = shifted_cosines(cosines, torch.tensor([[1.0, 1.0], [0.0, 1.0]]))[..., 0, 0]
        assert found.tolist() == [[0.0, 0.75], [0.0, 1.0]]

    def test_cosines_do_not_depend_on_the_length_of_features(self) -> None:
        features, texts = torch.tensor([[[[3.0, 4.0]]]]), torch.tensor([[1.0, 0.0], [0.0, -1.0]])
        torch.testing.assert_close(place_cosines(features, texts)[0, :, 0, 0], torch.tensor([0.6, -0.8]))


class TestGenerator:
    def test_cams_are_shares_of_present_classes(self, generator: DenseGenerator) -> None:
        output = generator(random_image(), torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
        assert output.cams.min() >= 0
        assert output.cams.sum(1).max() < 1
        assert output.cams[0, 1].abs().sum() == 0
        assert (output.cams[1] > 0).all()
        assert output.logits["dense"].shape == (2, 2)
        assert output.affinity is None
        assert not output.cams.requires_grad

    def test_an_image_without_tags_has_no_map(self, generator: DenseGenerator) -> None:
        assert generator(random_image(), torch.zeros(2, 2)).cams.abs().sum() == 0

    def test_the_scale_is_the_models_own_unless_it_is_given(self, model: VisionLanguageModel) -> None:
        labels, pixels = torch.ones(2, 2), random_image()
        own, same, flat = (
            DenseGenerator(model, NAMES, BACKGROUNDS, softmax_scale=scale)(pixels, labels).cams
            for scale in (None, model.logit_scale, 1e-9)
        )
        torch.testing.assert_close(own, same)
        torch.testing.assert_close(flat, torch.full_like(flat, 0.25))

    @pytest.mark.parametrize("attention", ["plain", "value", "query_key"])
    @pytest.mark.parametrize("window", [None, 16])
    def test_its_places_are_those_of_its_maps(self, clip: VisionLanguageModel, attention: Any, window: Any) -> None:
        pixels = random_image()
        generator = DenseGenerator(clip, NAMES, BACKGROUNDS, attention, window=window)
        places = places_of(generator, clip, pixels)
        cosines = place_cosines(places, torch.cat([generator.texts, generator.backgrounds]))
        expected = class_probabilities(cosines, torch.ones(2, 2), generator.scale)
        assert torch.equal(generator(pixels, torch.ones(2, 2)).cams, expected)
        whole = clip.dense_features(pixels, attention)
        assert torch.allclose(places, whole, atol=1e-5) == (window is None)

    def test_other_generators_leave_the_attention_to_the_model(self, clip: VisionLanguageModel) -> None:
        pixels = random_image()
        places = places_of(ClipGenerator(clip, NAMES, BACKGROUNDS), clip, pixels)
        assert torch.equal(places, clip.dense_features(pixels, "query_key"))

    def test_other_backgrounds_give_other_maps(self, model: VisionLanguageModel) -> None:
        generator, labels = DenseGenerator(model, NAMES, BACKGROUNDS), torch.ones(2, 2)
        before = generator(random_image(), labels).cams
        generator.replace_backgrounds(model.encode_classes(["sailing"]))
        assert not torch.allclose(before, generator(random_image(), labels).cams, atol=1e-3)

    def test_without_backgrounds_cams_are_cosines_and_prompts_can_follow(self, model: VisionLanguageModel) -> None:
        generator, pixels, labels = DenseGenerator(model, NAMES, []), random_image(), torch.tensor([[1.0, 0], [1, 1]])
        places = model.dense_features(pixels, generator.attention)
        cosines = place_cosines(places, model.encode_classes(NAMES))
        expected = (1 + cosines) / 2 * labels[:, :, None, None]
        output = generator(pixels, labels)
        torch.testing.assert_close(output.cams, expected)
        assert output.logits["dense"].shape == (2, 2)
        assert len(generator.backgrounds) == 0
        other = DenseGenerator(model, NAMES, BACKGROUNDS)
        other.load_state_dict(generator.state_dict())
        torch.testing.assert_close(other(pixels, labels).cams, expected)
        generator.replace_backgrounds(model.encode_classes(["sailing"]))
        assert generator(pixels, labels).cams.sum(1).max() < 1

    def test_words_of_classes_are_backgrounds_alone_too(self, model: VisionLanguageModel) -> None:
        generator = DenseGenerator(model, NAMES, [], words_of_classes=["grass"])
        torch.testing.assert_close(generator.backgrounds, model.encode_classes(["grass"]))

    def test_each_class_competes_with_its_own_prompt_or_with_all(self, model: VisionLanguageModel) -> None:
        prompts, labels = model.encode_classes(["sailing", "forest"]), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
        pixels = random_image()

        def cams_of(features: Tensor, **settings: Any) -> Tensor:
            generator = DenseGenerator(model, NAMES, BACKGROUNDS, keep_background_words=False, **settings)
            generator.replace_backgrounds(features)
            output: MaskGeneratorOutput = generator(pixels, labels)
            return output.cams

        own, every = cams_of(prompts), cams_of(prompts, competing_prompts="all")
        alone = cams_of(prompts[:1], competing_prompts="all")
        torch.testing.assert_close(own[0], alone[0])  # the second class is absent
        torch.testing.assert_close(own[1], every[1])
        assert not torch.allclose(own[0], every[0], atol=1e-3)

    def test_background_words_stay_beside_the_prompts(self, model: VisionLanguageModel) -> None:
        prompts, labels, pixels = model.encode_classes(["sailing", "forest"]), torch.ones(2, 2), random_image()
        generator = DenseGenerator(model, NAMES, BACKGROUNDS)
        words = generator.backgrounds
        generator.replace_backgrounds(prompts)
        assert generator.owners.tolist() == [0, 1, *[-1] * len(words)]
        by_hand = DenseGenerator(model, NAMES, BACKGROUNDS, competing_prompts="all", keep_background_words=False)
        by_hand.replace_backgrounds(torch.cat([prompts, words]))
        torch.testing.assert_close(generator(pixels, labels).cams, by_hand(pixels, labels).cams)

    def test_prompts_survive_the_state(self, model: VisionLanguageModel) -> None:
        source, target = (DenseGenerator(model, NAMES, BACKGROUNDS) for _ in range(2))
        source.replace_backgrounds(model.encode_classes(["sailing", "forest"]))
        target.load_state_dict(source.state_dict())
        pixels, labels = random_image(), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
        assert torch.equal(source(pixels, labels).cams, target(pixels, labels).cams)

    def test_without_labels_it_says_what_it_needs(self, generator: DenseGenerator) -> None:
        with pytest.raises(ValueError, match=mentions("mask generator dense", "labels is None")):
            generator(random_image())

    def test_its_state_is_the_backgrounds(self, model: VisionLanguageModel) -> None:
        source, target = (DenseGenerator(model, NAMES, words) for words in (BACKGROUNDS, ("grass",)))
        assert set(source.state_dict()) == {"backgrounds", "owners"}
        target.load_state_dict(source.state_dict())
        torch.testing.assert_close(target.backgrounds, model.encode_classes(list(BACKGROUNDS)))
        labels = torch.ones(2, 2)
        assert torch.equal(target(random_image(), labels).cams, source(random_image(), labels).cams)

    def test_nothing_trains(self, generator: DenseGenerator) -> None:
        assert not DenseGenerator.is_trainable
        assert DenseGenerator.affinity_steps == 0
        assert generator.trunk_parameters() == generator.head_parameters() == list(generator.parameters()) == []

    def test_class_names_and_unknown_words_are_no_backgrounds(self, model: VisionLanguageModel) -> None:
        generator = DenseGenerator(model, NAMES, ["Cat", "grass", "submarine", "grass"])
        torch.testing.assert_close(generator.backgrounds, model.encode_classes(["grass"]))
        with pytest.raises(ConfigError, match=mentions("mask_generator.background_words", "cat", "submarine")):
            DenseGenerator(model, NAMES, ["cat", "submarine"])


class TestSettings:
    def test_they_reach_the_generator(self, tmp_path: Path) -> None:
        model = load_vision_language_model(str(VISION_LANGUAGE["clip"](tmp_path)))
        parts = GeneratorParts(NAMES, lambda: model)
        settings = {"attention": "value", "softmax_scale": 40, "window": 16, "background_words": ["grass"]}
        config = load_config(
            overrides={"mask_generator.name": "dense", **{f"mask_generator.{k}": v for k, v in settings.items()}}
        ).mask_generator
        generator = config.build(parts)
        assert (generator.attention, generator.scale, generator.window) == ("value", 40, 16)
        assert DenseConfig(background_words=["grass"]).build(parts).attention == "query_key"

    @pytest.mark.parametrize(
        ("name", "value"), [("softmax_scale", 0), ("softmax_scale", -1), ("window", 0), ("attention", "sideways")]
    )
    def test_values_that_make_no_sense(self, name: str, value: Any) -> None:
        with pytest.raises(ConfigError, match=mentions(f"mask_generator.{name}", str(value))):
            load_config(overrides={"mask_generator.name": "dense", f"mask_generator.{name}": value})

    def test_a_window_below_a_patch(self, model: VisionLanguageModel) -> None:
        cell = CELLS[model.kind]
        with pytest.raises(ConfigError, match=mentions("mask_generator.window", str(cell - 1), str(cell))):
            DenseGenerator(model, NAMES, BACKGROUNDS, window=cell - 1)


class TestWindows:
    def test_an_image_that_fits_is_encoded_as_a_whole(self, model: VisionLanguageModel) -> None:
        plain, windowed = (DenseGenerator(model, NAMES, BACKGROUNDS, window=side) for side in (None, 48))
        labels = torch.ones(2, 2)
        assert torch.equal(plain(random_image(), labels).cams, windowed(random_image(), labels).cams)

    def test_a_larger_image_is_the_average_of_its_windows(self, model: VisionLanguageModel) -> None:
        generator, pixels = DenseGenerator(model, NAMES, BACKGROUNDS, window=32), random_image(48, 32)
        top, bottom = (model.dense_features(pixels[..., start : start + 32, :]) for start in (0, 16))
        half = 16 // CELLS[model.kind]
        features = torch.cat([top[:, :half], (top[:, half:] + bottom[:, :half]) / 2, bottom[:, half:]], 1)
        texts = torch.cat([generator.texts, generator.backgrounds])
        expected = class_probabilities(place_cosines(features, texts), torch.ones(2, 2), generator.scale)
        torch.testing.assert_close(generator(pixels, torch.ones(2, 2)).cams, expected)
