"""Regions are encoded in parts that fit into a budget, with the results of one pass."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from semples.method.losses import MatchScore, total
from semples.models.generators.base import MaskGeneratorOutput
from semples.models.vision_language import memory
from semples.models.vision_language.loading import load_vision_language_model
from semples.models.vision_language.memory import bytes_kept, images_within_budget, in_parts
from semples.models.vision_language.model import VisionLanguageModel
from semples.stages.guided import GuidedStep, with_pairs
from tiny import VISION_LANGUAGE

CPU = torch.device("cpu")


@pytest.fixture(scope="module", params=sorted(VISION_LANGUAGE))
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> VisionLanguageModel:
    return load_vision_language_model(str(VISION_LANGUAGE[request.param](tmp_path_factory.mktemp(request.param))))


def allow(monkeypatch: pytest.MonkeyPatch, model: VisionLanguageModel, images: int) -> None:
    """Set the budget to that of so many images."""
    monkeypatch.setattr(memory, "CPU_BUDGET", memory.CPU_BUDGET)
    per_image = memory.CPU_BUDGET / model.images_at_once
    monkeypatch.setattr(memory, "CPU_BUDGET", round(per_image * images * 1.01))
    assert model.images_at_once == images


def test_kept_are_the_input_of_a_convolution_and_the_output_of_a_relu_but_no_weights() -> None:
    layers = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
    assert bytes_kept(layers, layers, torch.zeros(1, 3, 8, 8)) == 4 * (3 + 4) * 64


def test_the_budget_is_divided_and_gives_one_image_at_least() -> None:
    assert images_within_budget(memory.CPU_BUDGET / 4, CPU) == 4
    assert images_within_budget(memory.CPU_BUDGET / 4 + 1, CPU) == 3
    assert images_within_budget(memory.CPU_BUDGET * 9.0, CPU) == 1


def test_parts_are_encoded_in_order() -> None:
    sizes = []

    def encode(images: Tensor) -> Tensor:
        sizes.append(len(images))
        return images * 2

    assert in_parts(encode, torch.arange(5), 2).tolist() == [0, 2, 4, 6, 8]
    assert in_parts(encode, torch.arange(2), 2).tolist() == [0, 2]
    assert sizes == [2, 2, 1, 2]


class Learnable(nn.Module):
    """CAMs that are parameters."""

    def __init__(self) -> None:
        super().__init__()
        cams = torch.rand(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
        self.cams = nn.Parameter(cams)

    def forward(self, pixels: Tensor, labels: Tensor) -> MaskGeneratorOutput:  # noqa: ARG002
        return MaskGeneratorOutput(self.cams, {})


def guided_results(model: VisionLanguageModel) -> tuple[dict[str, Tensor], Tensor]:
    """Losses and figures of a step of stage 3 on 7 pairs, and the gradient of the CAMs."""
    random = torch.Generator().manual_seed(1)
    labels = torch.tensor([[1.0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1]])
    batch = with_pairs([{"pixels": torch.rand(3, 24, 24, generator=random), "labels": row} for row in labels])
    texts = nn.functional.normalize(torch.rand(6, model.encode_classes(["cat"]).shape[1], generator=random), dim=1)
    generator, score = Learnable(), MatchScore("sigmoid")  # a cosine of an untrained model may be clamped
    result = GuidedStep(model, score, texts[:3], 1.5, True, texts[3:], 0.3)(generator, batch)
    total(result.parts).backward()
    assert generator.cams.grad is not None
    values = {**result.parts, **(result.figures or {})}
    return {name: value.detach() for name, value in values.items()}, generator.cams.grad


@pytest.mark.parametrize("images", [2, 3, 8])
def test_losses_and_gradients_in_parts_are_those_of_one_pass(
    model: VisionLanguageModel, monkeypatch: pytest.MonkeyPatch, images: int
) -> None:
    losses, gradient = guided_results(model)
    allow(monkeypatch, model, images)
    losses_in_parts, gradient_in_parts = guided_results(model)
    assert list(losses) == list(losses_in_parts)
    for name, value in losses.items():
        assert float(losses_in_parts[name]) == pytest.approx(float(value), abs=1e-6), name
    assert gradient.abs().max() > 1e-4
    torch.testing.assert_close(gradient_in_parts, gradient, atol=1e-6, rtol=0)


def test_no_pass_has_more_images_than_fit(model: VisionLanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = []
    inner = model.adapter.image_features

    def noted(pixels: Tensor) -> Tensor:
        passes.append(len(pixels))
        return inner(pixels)

    allow(monkeypatch, model, 4)
    monkeypatch.setattr(model.adapter, "image_features", noted)
    guided_results(model)
    assert passes == [4, 4, 4, 2]  # two regions for each pair
    passes.clear()
    with torch.no_grad():
        whole = model.encode_images(torch.rand(6, 3, 24, 24))
    assert (passes, whole.shape[0]) == ([4, 2], 6)


def test_without_gradients_parts_are_those_of_one_pass(
    model: VisionLanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = torch.rand(5, 3, 24, 48, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features, places = model.encode_images(pixels), model.dense_features(pixels)
        allow(monkeypatch, model, 4)  # of 24 x 24 pixels: two of these at a time, place by place
        torch.testing.assert_close(model.encode_images(pixels), features, atol=1e-6, rtol=0)
        inner, passes = model.adapter.dense_features, []

        def noted(pixels: Tensor, attention: None = None) -> Tensor:
            passes.append(len(pixels))
            return inner(pixels, attention)

        monkeypatch.setattr(model.adapter, "dense_features", noted)
        torch.testing.assert_close(model.dense_features(pixels), places, atol=1e-5, rtol=0)
    assert passes == [2, 2, 1]


def test_a_batch_of_scenes_is_one_pass() -> None:
    """The largest of the default settings: 32 scenes, 3 classes each, 2 regions."""
    assert load_vision_language_model("bundled/scenes").images_at_once >= 32 * 2 * 3
