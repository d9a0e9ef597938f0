"""A class's own background words in stage 3 of a trained generator."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import semples
from matching import assert_mentions
from run_files import TINY, config_from
from semples.method.losses import MatchScore, total
from semples.models.generators.base import MaskGeneratorOutput
from semples.models.vision_language.loading import load_vision_language_model
from semples.models.vision_language.model import VisionLanguageModel
from semples.runtime.setup import open_run
from semples.stages.guided import GuidedStep, prompts_and_words, with_pairs
from semples.stages.updates import StageUpdate
from tiny import save_clip

SCORE = MatchScore("sigmoid")
"""A cosine of an untrained model may be clamped."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> VisionLanguageModel:
    return load_vision_language_model(str(save_clip(tmp_path_factory.mktemp("clip"))))


@pytest.fixture(scope="module")
def prompts(model: VisionLanguageModel) -> Tensor:
    return unit(3, model)


def unit(rows: int, model: VisionLanguageModel) -> Tensor:
    """Unit vectors of the joint space."""
    width = model.encode_classes(["cat"]).shape[1]
    return nn.functional.normalize(torch.rand(rows, width, generator=torch.Generator().manual_seed(rows)), dim=-1)


def test_words_join_the_prompt_of_their_class() -> None:
    prompts, words = torch.eye(3, 4), [torch.empty(0, 4), torch.full((2, 4), 2.0), torch.full((1, 4), 3.0)]
    features, weights = prompts_and_words(prompts, words)
    assert features.shape == (3, 3, 4)
    assert torch.equal(features[:, 0], prompts)
    assert features[1, 1:].unique().tolist() == [2.0]
    assert features[2, 1].unique().tolist() == [3.0]
    assert torch.equal(features[0], prompts[0].expand(3, 4))
    assert weights.tolist() == [[1, 0, 0], [pytest.approx(1 / 3)] * 3, [0.5, 0.5, 0]]


class Learnable(nn.Module):
    """CAMs that are parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.cams = nn.Parameter(torch.rand(2, 3, 5, 5, generator=torch.Generator().manual_seed(0)))

    def forward(self, pixels: Tensor, labels: Tensor) -> MaskGeneratorOutput:  # noqa: ARG002
        return MaskGeneratorOutput(self.cams, {})


def losses(
    model: VisionLanguageModel, labels: list[list[float]], suppressed: Tensor, weights: Tensor | None = None
) -> tuple[dict[str, Tensor], Tensor]:
    """Parts of the loss and figures of a step of stage 3, and the gradient of the CAMs."""
    random = torch.Generator().manual_seed(1)
    items = [{"pixels": torch.rand(3, 24, 24, generator=random), "labels": torch.tensor(row)} for row in labels]
    generator = Learnable()
    step = GuidedStep(model, SCORE, unit(3, model), 1.0, True, suppressed, 0.5, weights)
    result = step(generator, with_pairs(items))
    total(result.parts).backward()
    assert generator.cams.grad is not None
    values = {**result.parts, **(result.figures or {})}
    return {name: value.detach() for name, value in values.items()}, generator.cams.grad


def test_the_loss_is_the_mean_over_prompt_and_words(model: VisionLanguageModel, prompts: Tensor) -> None:
    """Pairs with class 0 (no words), 1 (two words) and 2 (one word), each prompt and word on its own."""
    labels, words = [[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [unit(4, model)[:0], unit(2, model), unit(1, model)]
    found, _ = losses(model, labels, *prompts_and_words(prompts, words))
    alone: dict[tuple[int, int], float] = {}  # (class, background) -> loss of a pair of the class
    for index, own in enumerate(words):
        for number, background in enumerate([prompts[index], *own]):
            one = [[value * (k == index) for k, value in enumerate(row)] for row in labels]
            alone[index, number] = float(losses(model, one, background.expand(3, -1))[0]["suppress"])
    by_class = [alone[0, 0], sum(alone[1, n] for n in range(3)) / 3, (alone[2, 0] + alone[2, 1]) / 2]
    assert float(found["suppress"]) == pytest.approx(sum(by_class) / 3, abs=1e-6)


def test_classes_without_words_are_unchanged_to_the_byte(model: VisionLanguageModel, prompts: Tensor) -> None:
    labels, words = [[1.0, 0.0, 0.0], [1.0, 0.0, 1.0]], [unit(4, model)[:0], unit(2, model), unit(4, model)[:0]]
    before, gradient = losses(model, labels, prompts)
    after, gradient_after = losses(model, labels, *prompts_and_words(prompts, words))
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert torch.equal(gradient_after, gradient)


def test_a_class_that_is_left_out_has_no_term(model: VisionLanguageModel, prompts: Tensor) -> None:
    """Pairs with classes 0 and 1: the term of the first stays what it is beside the second, which has none."""
    labels, none = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], [prompts[:0]] * 3
    found, gradient = losses(model, labels, *prompts_and_words(prompts, none, torch.tensor([False, True, False])))
    whole, whole_gradient = losses(model, labels, prompts)
    alone = losses(model, [labels[0], [0.0] * 3], prompts)[0]["suppress"]
    assert float(found["suppress"]) == pytest.approx(float(alone) / 2)  # the mean over both pairs
    assert found["match_foreground"] == whole["match_foreground"]
    torch.testing.assert_close(gradient[0], whole_gradient[0])
    everything_left_out, matched = losses(model, labels, *prompts_and_words(prompts, none, torch.ones(3).bool()))
    assert everything_left_out["suppress"] == 0
    assert torch.equal(gradient[1], matched[1])
    assert not torch.equal(whole_gradient[1], matched[1])


def run_refine(directory: Path, **changes: object) -> dict[str, str]:
    """Run up to stage 3; return the status of each stage."""
    updates: list[StageUpdate] = []
    semples.run(config_from(TINY, **changes), directory, until="refine", quiet=True, on_stage=updates.append)
    return {update.stage: update.status for update in updates}


@pytest.mark.whole
@pytest.mark.parametrize("name", ["cam", "weaktr"])
def test_words_change_stage_3_and_run_it_again(tmp_path: Path, name: str) -> None:
    generator = {"mask_generator__name": name}
    run_refine(tmp_path, **generator)
    stages = {stage: tmp_path / stage / "mask_generator.safetensors" for stage in ("1-match", "3-refine")}
    before = {stage: path.read_bytes() for stage, path in stages.items()}
    assert run_refine(tmp_path, **generator)["refine"] == "unchanged"
    assert run_refine(tmp_path, **generator, data__background_words={"boat": ["snow"]})["refine"] == "done"
    assert before["1-match"] == stages["1-match"].read_bytes()
    weights = load_file(stages["3-refine"])
    assert before["3-refine"] != stages["3-refine"].read_bytes()
    assert all(values.isfinite().all() for values in weights.values())


@pytest.mark.whole
def test_words_that_cannot_be_used_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = {"boat": ["snow", "Boat", "submarine", "ball"]}  # "ball" is another class, and a background of this one
    run = open_run(config_from(TINY, data__background_words=words), tmp_path)
    features = run.models.background_features_of_classes()
    model = run.models.vision_language
    expected = {"boat": model.encode_classes(["snow", "ball"])}
    for name, found in zip(run.dataset.catalogue.names, features, strict=True):
        torch.testing.assert_close(found, expected.get(name, found[:0]))
    said = capsys.readouterr()
    assert_mentions(said.out + said.err, "boat", "Boat, submarine")
    assert open_run(config_from(TINY), tmp_path / "none", quiet=True).models.background_features_of_classes() == []
