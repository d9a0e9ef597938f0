"""CAMs from the vision-language model itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoModel

from semples.errors import ConfigError, ModelError
from semples.models.generators.clip.generator import ClipGenerator
from semples.models.vision_language.adapter import CutForward
from semples.models.vision_language.attention import attention_between_patches
from semples.models.vision_language.grad_cam import grad_cams
from semples.models.vision_language.loading import load_vision_language_model
from semples.models.vision_language.model import VisionLanguageModel
from tiny import MEAN, STD, VISION_LANGUAGE, save_clip, save_siglip

NAMES, BACKGROUNDS = ("cat", "boat"), ("water", "grass")


@pytest.fixture(scope="module", params=["align", "clip", "siglip"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> VisionLanguageModel:
    return load_vision_language_model(str(VISION_LANGUAGE[request.param](tmp_path_factory.mktemp(request.param))))


@pytest.fixture(scope="module")
def generator(model: VisionLanguageModel) -> ClipGenerator:
    return ClipGenerator(model, NAMES, BACKGROUNDS)


def random_image(height: int = 48, width: int = 32, batch: int = 2) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(0))


class TestCut:
    def test_the_two_halves_are_the_whole_tower(self, model: VisionLanguageModel) -> None:
        pixels = random_image(24, 24)
        torch.testing.assert_close(model.cut(pixels).features, model.encode_images(pixels), atol=1e-5, rtol=0)

    def test_any_size_is_seen_with_whole_patches(self, model: VisionLanguageModel) -> None:
        grid = model.cut(random_image(53, 29)).grid
        assert grid == ((13, 7) if model.kind == "align" else (7, 4))
        narrow = model.cut(random_image(1, 50))
        assert narrow.grid == ((1, 12) if model.kind == "align" else (1, 6))
        assert narrow.features.isfinite().all()

    def test_gradients_reach_every_patch_and_no_weight(self, model: VisionLanguageModel) -> None:
        with torch.no_grad():
            cut = model.cut(random_image())
        cut.features[:, 0].sum().backward()
        patches = cut.grid[0] * cut.grid[1]
        assert cut.activations.grad is not None
        assert (cut.activations.grad[:, -patches:].abs().sum(-1) > 0).all()
        assert all(weight.grad is None for weight in model.parameters())

    def test_attention_lies_between_patches_alone(self, model: VisionLanguageModel) -> None:
        cut = model.cut(random_image())
        if model.kind == "align":
            assert cut.affinity is None
        else:
            assert cut.affinity is not None
            assert cut.affinity.shape == (2, 6 * 4, 6 * 4)
            lost = 1 - cut.affinity.sum(-1)  # what went to the class token
            assert (lost > 0.001).all() if model.kind == "clip" else (lost.abs() < 1e-5).all()

    def test_a_siglip_without_its_head_is_refused(self, tmp_path: Path) -> None:
        folder = save_siglip(tmp_path)
        headless = load_vision_language_model(str(folder))
        headless.model.vision_model.head = None
        with pytest.raises(ModelError, match=r"vision_language\.model: .*pooling head"):
            headless.cut(random_image())


def test_attention_is_that_of_transformers(tmp_path: Path) -> None:
    folder = save_clip(tmp_path)
    reference: Any = AutoModel.from_pretrained(folder, attn_implementation="eager").eval().vision_model
    pixels = (random_image(24, 24) - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    with torch.no_grad():
        output = reference(pixels, output_attentions=True, output_hidden_states=True)
        block = reference.encoder.layers[1]
        found = attention_between_patches(block.self_attn, block.layer_norm1(output.hidden_states[1]), (3, 3))
        torch.testing.assert_close(found, output.attentions[1].mean(1)[:, 1:, 1:])
        cut = load_vision_language_model(str(folder)).cut(random_image(24, 24))
    assert cut.affinity is not None
    torch.testing.assert_close(cut.affinity, torch.stack(output.attentions).mean((0, 2))[:, 1:, 1:])


class TestGradCam:
    def test_two_patches_by_hand(self) -> None:
        """Patches (1, 0) and (0, 1) are pooled to u = (1, 1) / sqrt 2; class (1, 0) against background (0, 1).

        d(Y_c - Y_bg) points along (1, -1), so that the first patch has a positive map and the second a negative one.
        """
        activations = torch.eye(2)[None].requires_grad_()
        cut = CutForward(activations, F.normalize(activations.mean(1), dim=-1), (1, 2))
        texts, backgrounds = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
        cams = grad_cams(cut, texts, backgrounds, torch.ones(1, 1), 10.0)
        torch.testing.assert_close(cams, torch.tensor([[[[1.0, 0.0]]]]))

    def test_it_is_the_gradient_of_the_softmax(self, model: VisionLanguageModel) -> None:
        """Against the definition: softmax score, autograd, spatial mean, weighted sum, ReLU; then the peak is 1."""
        texts, backgrounds = model.encode_classes(list(NAMES)), model.encode_classes(list(BACKGROUNDS))
        labels = torch.tensor([[1.0, 1.0], [0.0, 1.0]])
        cut = model.cut(random_image())
        cams = grad_cams(cut, texts, backgrounds, labels, 5.0)
        patches = cut.activations[:, -cut.grid[0] * cut.grid[1] :]
        for image, class_ in ((0, 0), (0, 1), (1, 1)):
            present = texts[labels[image] > 0]
            logits = 5.0 * cut.features[image] @ torch.cat([present, backgrounds]).T
            score = logits.softmax(0)[int(labels[image, :class_].sum())]
            (gradient,) = torch.autograd.grad(score, cut.activations, retain_graph=True)
            weights = gradient[image, -patches.shape[1] :].mean(0)
            expected = F.relu(patches[image].detach() @ weights)
            torch.testing.assert_close(cams[image, class_].flatten(), expected / expected.max(), atol=1e-4, rtol=1e-3)

    def test_a_saturated_softmax_leaves_the_map(self) -> None:
        activations = torch.eye(2)[None].requires_grad_()
        cut = CutForward(activations, F.normalize(activations.mean(1), dim=-1), (1, 2))
        texts, backgrounds = torch.tensor([[1.0, 0.0]]), torch.tensor([[-1.0, 0.0], [0.0, -1.0]])
        cams = grad_cams(cut, texts, backgrounds, torch.ones(1, 1), 1e4)
        assert cams.max() == 1

    def test_an_image_without_tags_has_no_map(self, generator: ClipGenerator) -> None:
        assert generator(random_image(), torch.zeros(2, 2)).cams.abs().sum() == 0


class TestGenerator:
    def test_present_classes_have_peak_1_and_absent_ones_nothing(self, generator: ClipGenerator) -> None:
        output = generator(random_image(), torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
        assert output.cams.min() >= 0
        torch.testing.assert_close(output.cams.amax((2, 3)), torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
        assert output.logits["clip"].shape == (2, 2)

    def test_it_needs_no_gradient_from_outside(self, generator: ClipGenerator) -> None:
        labels = torch.ones(2, 2)
        with torch.no_grad():
            quiet = generator(random_image(), labels).cams
        assert not quiet.requires_grad
        torch.testing.assert_close(quiet, generator(random_image(), labels).cams)

    def test_classes_compete(self, generator: ClipGenerator) -> None:
        alone, both = (generator(random_image(), torch.tensor([[1.0, o]] * 2)).cams[:, 0] for o in (0.0, 1.0))
        assert not torch.allclose(alone, both, atol=1e-3)

    def test_other_backgrounds_give_other_maps(self, model: VisionLanguageModel) -> None:
        generator, labels = ClipGenerator(model, NAMES, BACKGROUNDS), torch.ones(2, 2)
        before = generator(random_image(), labels).cams
        generator.replace_backgrounds(model.encode_classes(["sailing"]))
        assert not torch.allclose(before, generator(random_image(), labels).cams, atol=1e-3)

    def test_without_labels_it_says_what_it_needs(self, generator: ClipGenerator) -> None:
        with pytest.raises(ValueError, match=r"labels is None, expected \[B, K\]"):
            generator(random_image())

    def test_its_state_is_the_backgrounds(self, model: VisionLanguageModel) -> None:
        source, target = (ClipGenerator(model, NAMES, words) for words in (BACKGROUNDS, ("grass",)))
        assert set(source.state_dict()) == {"backgrounds"}
        target.load_state_dict(source.state_dict())
        torch.testing.assert_close(target.backgrounds, model.encode_classes(list(BACKGROUNDS)))

    def test_nothing_trains(self, generator: ClipGenerator) -> None:
        assert not ClipGenerator.is_trainable
        assert generator.trunk_parameters() == generator.head_parameters() == list(generator.parameters()) == []

    def test_class_names_and_unknown_words_are_no_backgrounds(self, model: VisionLanguageModel) -> None:
        generator = ClipGenerator(model, NAMES, ["Cat", "grass", "submarine", "grass"])
        torch.testing.assert_close(generator.backgrounds, model.encode_classes(["grass"]))
        with pytest.raises(ConfigError, match=r"mask_generator\.background_words: .*'cat', 'submarine'"):
            ClipGenerator(model, NAMES, ["cat", "submarine"])
