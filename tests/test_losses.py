"""Losses against golden numbers, numbers worked by hand, and finite differences."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from semples.method.losses import (
    TEXT_SCORE,
    MatchScore,
    Score,
    classification_loss,
    match_loss,
    pixel_cross_entropy,
    prompt_loss,
    suppress_loss,
    total,
)

COSINE = MatchScore()


@pytest.fixture(scope="module")
def golden(shared_data: Path) -> dict[str, Tensor]:
    return load_file(shared_data / "parity" / "fixture.safetensors")


def at_cosine(cosines: Tensor) -> Tensor:
    """Unit features [P, 2] that have the given cosines [P] with the first axis."""
    return torch.stack([cosines, (1 - cosines**2).sqrt()], dim=1)


def first_axis(pairs: int) -> Tensor:
    return torch.tensor([[1.0, 0.0]]).expand(pairs, 2)


def random_features(*names: str) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [
        F.normalize(torch.rand(4, 5, generator=generator, dtype=torch.float64) + 0.1, dim=1).requires_grad_()
        for _ in names
    ]


class TestMatchScore:
    def test_clamped_cosine_has_the_golden_value_and_gradient(self, golden: dict[str, Tensor]) -> None:
        similarity = golden["in.clamp.similarity"]
        one = torch.ones(len(similarity), 1)
        for direction, score, atol, grad_atol in (
            ("toward", COSINE.log, 3.7e-4, 0.045),
            ("away", COSINE.log_not, 5.8e-4, 0.061),
        ):
            feature = similarity[:, None].clone().requires_grad_()  # D = 1: the feature is the cosine itself
            value = -score(feature, one)
            value.mean().backward()
            expected, gradient = golden[f"out.clamp.{direction}"], golden[f"out.clamp.{direction}.grad"]
            torch.testing.assert_close(value.mean(), expected, atol=atol, rtol=0)
            assert feature.grad is not None
            torch.testing.assert_close(feature.grad[:, 0], gradient, atol=grad_atol, rtol=0)
            assert torch.equal(feature.grad[:, 0] == 0, gradient == 0)

    def test_clamped_share_counts_both_ends(self, golden: dict[str, Tensor]) -> None:
        feature = golden["in.clamp.similarity"][:, None].requires_grad_()
        share = COSINE.clamped_share(feature, torch.ones(11, 1))
        assert share.item() == pytest.approx(5 / 11)  # -0.3, 0, 5e-5 below; 0.99995, 1 above
        assert not share.requires_grad

    def test_another_clamp(self) -> None:
        score, similarity = MatchScore(clamp=0.2), torch.tensor([[-0.5], [0.5], [1.0]])
        one = torch.ones(3, 1)
        torch.testing.assert_close(score.log(similarity, one), torch.tensor([0.2, 0.5, 0.8]).log())
        torch.testing.assert_close(score.log_not(similarity, one), torch.tensor([0.8, 0.5, 0.2]).log())

    def test_sigmoid_is_never_clamped(self) -> None:
        score = MatchScore("sigmoid", scale=100.0, bias=-50.0)
        opposite = at_cosine(torch.tensor([-1.0, 1.0]))
        texts = first_axis(2)
        assert score.log(opposite, texts)[0].item() == pytest.approx(-150.0)
        assert score.log_not(opposite, texts)[1].item() == pytest.approx(-50.0)
        assert score.clamped_share(opposite, texts).item() == 0

    def test_sigmoid_by_hand(self) -> None:
        score = MatchScore("sigmoid", scale=torch.tensor(10.0), bias=torch.tensor(-3.0))
        a, b = at_cosine(torch.tensor([0.5])), first_axis(1)
        matched = 1 / (1 + math.exp(-(10 * 0.5 - 3)))  # sigmoid(2) = 0.8808
        assert score.log(a, b).item() == pytest.approx(math.log(matched), rel=1e-5)
        assert score.log_not(a, b).item() == pytest.approx(math.log(1 - matched), rel=1e-5)

    def test_sigmoid_scale_and_bias_get_gradients(self) -> None:
        scale = torch.tensor(2.0, requires_grad=True)
        MatchScore("sigmoid", scale, 0.0).log(first_axis(1), first_axis(1)).sum().backward()
        assert scale.grad is not None
        assert scale.grad.item() == pytest.approx(1 - 1 / (1 + math.exp(-2)))  # d log sigmoid(x) / dx at x = 2

    def test_any_leading_shape(self) -> None:
        a, b = torch.rand(2, 3, 4), torch.rand(2, 3, 4)
        assert COSINE.log(a, b).shape == (2, 3)
        assert COSINE.log_not(a[0], b[0, 0]).shape == (3,)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision_stays_finite_at_cosine_one(self, dtype: torch.dtype) -> None:
        feature = torch.tensor([[1.0, 0.0]], dtype=dtype)
        for context in (torch.autocast("cpu", dtype=torch.bfloat16), torch.autocast("cpu", enabled=False)):
            with context:
                value = COSINE.log_not(feature, feature)
            assert value.dtype == torch.float32
            assert value.item() == pytest.approx(math.log(1e-4), rel=1e-3)

    def test_unknown_kind_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"'sigmod'.* cosine, sigmoid.* \"sigmoid\""):
            MatchScore(cast(Score, "sigmod"))


class TestGoldenLosses:
    """Section 6 of the golden numbers: from the cosines of the six pairs to every term."""

    def test_match(self, golden: dict[str, Tensor]) -> None:
        parts = match_loss(
            at_cosine(golden["out.stage_a.cos_fg_text"]),
            at_cosine(golden["out.stage_a.cos_bg_text"]),
            first_axis(6),
            COSINE,
            lambda_background=2.4,
        )
        assert list(parts) == ["match_foreground", "match_background"]
        torch.testing.assert_close(parts["match_foreground"], golden["out.stage_a.match_fg"], atol=2.8e-5, rtol=0)
        torch.testing.assert_close(parts["match_background"], 2.4 * golden["out.stage_a.match_bg"], atol=3.8e-5, rtol=0)
        torch.testing.assert_close(total(parts), golden["out.stage_a.loss"], atol=6.7e-5, rtol=0)

    def test_prompts(self, golden: dict[str, Tensor]) -> None:
        parts = prompt_loss(
            at_cosine(golden["out.stage_b.cos_bg_prompt"]),
            at_cosine(golden["out.stage_b.cos_text_prompt"]),
            first_axis(6),
            COSINE,
            lambda_text=0.02,
        )
        assert list(parts) == ["pull", "push"]
        torch.testing.assert_close(parts["pull"], golden["out.stage_b.pull"], atol=3.6e-5, rtol=0)
        torch.testing.assert_close(parts["push"], 0.02 * golden["out.stage_b.push"], atol=7e-7, rtol=0)
        torch.testing.assert_close(total(parts), golden["out.stage_b.loss"], atol=3.6e-5, rtol=0)

    def test_push_from_the_text_features_themselves(self, golden: dict[str, Tensor]) -> None:
        class_index = golden["out.mask.pairs"][:, 1]
        texts = F.normalize(golden["out.text.features"], dim=1)[class_index]
        prompts = F.normalize(golden["out.prompt.features"], dim=1)[class_index]
        parts = prompt_loss(prompts, texts, prompts, COSINE, lambda_text=1.0)
        torch.testing.assert_close(parts["push"], golden["out.stage_b.push"], atol=3.5e-5, rtol=0)

    def test_refine(self, golden: dict[str, Tensor]) -> None:
        parts = match_loss(
            at_cosine(golden["out.stage_c.cos_fg_text"]),
            at_cosine(golden["out.stage_c.cos_bg_text"]),
            first_axis(6),
            COSINE,
            lambda_background=2.4,
        )
        foreground = at_cosine(golden["out.stage_c.cos_fg_prompt"])
        parts |= suppress_loss(foreground, first_axis(6), COSINE, lambda_suppress=0.05)
        torch.testing.assert_close(parts["suppress"], 0.05 * golden["out.stage_c.suppress"], atol=6.5e-7, rtol=0)
        torch.testing.assert_close(total(parts), golden["out.stage_c.loss"], atol=6.7e-5, rtol=0)


class TestLosses:
    def test_match_by_hand(self) -> None:
        foreground = at_cosine(torch.tensor([0.5, 0.25]))
        background = at_cosine(torch.tensor([0.5, 0.75]))
        parts = match_loss(foreground, background, first_axis(2), COSINE, lambda_background=2.0)
        assert parts["match_foreground"].item() == pytest.approx(1.5 * math.log(2))  # -(ln 1/2 + ln 1/4) / 2
        assert parts["match_background"].item() == pytest.approx(3 * math.log(2))  # twice that

    def test_push_falls_as_prompt_and_text_part(self) -> None:
        near, far = (
            prompt_loss(first_axis(1), at_cosine(torch.tensor([c])), first_axis(1), COSINE, 1.0)["push"]
            for c in (0.9, 0.1)
        )
        assert far.item() < near.item() < 0

    def test_push_is_a_cosine_where_images_are_scored_by_sigmoid(self) -> None:
        score = MatchScore("sigmoid", scale=10.0, bias=-10.0)
        parts = prompt_loss(first_axis(1), at_cosine(torch.tensor([0.5])), first_axis(1), score, 1.0)
        assert parts["push"].item() == pytest.approx(math.log(0.5), rel=1e-5)
        assert parts["pull"].item() == pytest.approx(math.log(2))  # sigmoid(10 * 1 - 10) = 1/2
        assert TEXT_SCORE.kind == "cosine"

    @pytest.mark.parametrize("score", [COSINE, MatchScore("sigmoid", scale=7.0, bias=-3.0)])
    @pytest.mark.parametrize(
        "loss",
        [
            lambda a, b, c, score: match_loss(a, b, c, score, 2.4),
            lambda a, b, c, score: prompt_loss(a, b, c, score, 0.5),
            lambda a, b, _, score: suppress_loss(a, b, score, 0.3),
        ],
        ids=["match", "prompt", "suppress"],
    )
    def test_gradients(self, loss: Callable[..., dict[str, Tensor]], score: MatchScore) -> None:
        features = random_features("a", "b", "c")
        assert torch.autograd.gradcheck(lambda *abc: total(loss(*abc, score)), features)

    def test_several_backgrounds_of_a_class_count_by_their_weights(self) -> None:
        """Two pairs of three backgrounds: the first with weights 1/2, 1/4, 1/4, the second with one alone."""
        foreground = at_cosine(torch.tensor([0.5, 0.75, 0.0, 0.75, 0.999, 0.999]))
        weights = torch.tensor([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]])
        parts = suppress_loss(foreground, first_axis(6), COSINE, 2.0, weights)
        expected = (0.5 * math.log(2) + 0.25 * math.log(4) + 0.25 * -math.log(1 - 1e-4) + math.log(4)) / 2
        assert parts["suppress"].item() == pytest.approx(2 * expected)
        assert COSINE.clamped_share(foreground, first_axis(6), weights).item() == pytest.approx(0.125)

    def test_a_weight_of_one_changes_no_bit(self) -> None:
        foreground, prompts, other = (F.normalize(torch.rand(7, 8), dim=-1) for _ in range(3))
        repeated = foreground.repeat_interleave(2, 0)
        both = torch.stack([prompts, other], 1).flatten(0, 1)
        weights = torch.tensor([[1.0, 0.0]]).expand(7, 2)
        one = suppress_loss(foreground, prompts, COSINE, 0.3)["suppress"]
        assert torch.equal(suppress_loss(repeated, both, COSINE, 0.3, weights)["suppress"], one)

    def test_weights_of_another_number_of_pairs_are_refused(self) -> None:
        for loss in (
            lambda: suppress_loss(first_axis(4), first_axis(4), COSINE, 1.0, torch.ones(2, 3)),
            lambda: COSINE.clamped_share(first_axis(4), first_axis(4), torch.ones(2, 3)),
        ):
            with pytest.raises(ValueError, match=r"weights .*\(2, 3\).* 4 "):
                loss()

    def test_no_pair_is_refused(self) -> None:
        empty = torch.zeros(0, 8)
        for loss in (
            lambda: match_loss(empty, empty, empty, COSINE, 1.0),
            lambda: prompt_loss(empty, empty, empty, COSINE, 1.0),
            lambda: suppress_loss(empty, empty, COSINE, 1.0),
            lambda: COSINE.clamped_share(empty, empty),
        ):
            with pytest.raises(ValueError, match=r"no \(image, class\) pair"):
                loss()

    def test_shapes_that_would_broadcast_are_refused(self) -> None:
        expected = r"foreground \(3, 8\), background \(3, 8\), texts \(1, 8\).*\[P, D\]"
        with pytest.raises(ValueError, match=expected):
            match_loss(torch.rand(3, 8), torch.rand(3, 8), torch.rand(1, 8), COSINE, 1.0)
        with pytest.raises(ValueError, match=r"foreground \(8,\), prompts \(8,\).*\[P, D\]"):
            suppress_loss(torch.rand(8), torch.rand(8), COSINE, 1.0)


class TestClassificationLoss:
    def test_by_hand(self) -> None:
        logits = {"coarse": torch.tensor([[0.0, math.log(3)]]), "fine": torch.zeros(1, 2)}
        parts = classification_loss(logits, torch.tensor([[1, 0]]))
        # sigmoid(ln 3) = 3/4 for a label that is 0: -ln(1/4); sigmoid(0) = 1/2
        assert parts["coarse"].item() == pytest.approx((math.log(2) + math.log(4)) / 2)
        assert parts["fine"].item() == pytest.approx(math.log(2))
        assert total(parts).item() == pytest.approx(2.5 * math.log(2))

    @pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.float64])
    def test_labels_of_any_dtype_and_half_precision_logits(self, dtype: torch.dtype) -> None:
        logits = torch.tensor([[20.0, -20.0]], dtype=torch.bfloat16)
        parts = classification_loss({"head": logits}, torch.tensor([[0, 1]], dtype=dtype))
        assert parts["head"].dtype == torch.float32
        assert parts["head"].item() == pytest.approx(20.0)

    def test_gradients(self) -> None:
        logits = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        labels = torch.eye(3, 4)
        assert torch.autograd.gradcheck(
            lambda x: total(classification_loss({"a": x, "b": 2 * x}, labels)), logits.requires_grad_()
        )

    def test_bad_input_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"'coarse' .*\(2, 3\).*\(2, 4\)"):
            classification_loss({"coarse": torch.zeros(2, 3)}, torch.zeros(2, 4))
        with pytest.raises(ValueError, match=r"no logits.*\[B, K\]"):
            classification_loss({}, torch.zeros(2, 4))
        with pytest.raises(ValueError, match="no parts"):
            total({})


class TestPixelCrossEntropy:
    """Two classes, logits 0 and ln 3: class 1 has the probability 3/4 and costs ln(4/3), class 0 costs ln 4."""

    LOGITS = torch.tensor([0.0, math.log(3)]).view(1, 2, 1, 1).expand(1, 2, 1, 4)

    def test_weights_by_hand(self) -> None:
        """The ignored pixel is left out; the sum is divided by the three others, regardless of their weights."""
        masks = torch.tensor([[[1, 0, 255, 1]]])
        weights = torch.tensor([[[1.0, 0.5, 1.0, 0.0]]])
        found = pixel_cross_entropy(self.LOGITS, masks, weights)
        assert found.item() == pytest.approx((math.log(4 / 3) + 0.5 * math.log(4)) / 3)

    def test_weights_of_1_are_none(self) -> None:
        masks = torch.tensor([[[1, 0, 255, 1]]])
        expected = (2 * math.log(4 / 3) + math.log(4)) / 3
        assert pixel_cross_entropy(self.LOGITS, masks).item() == pytest.approx(expected)
        assert pixel_cross_entropy(self.LOGITS, masks, torch.ones(1, 1, 4)).item() == pytest.approx(expected)

    @pytest.mark.parametrize("weights", [None, torch.ones(1, 1, 4)])
    def test_nothing_labelled_is_0_with_a_gradient_of_0(self, weights: Tensor | None) -> None:
        logits = self.LOGITS.clone().requires_grad_()
        loss = pixel_cross_entropy(logits, torch.full((1, 1, 4), 255), weights)
        loss.backward()
        assert loss.item() == 0
        assert logits.grad is not None
        assert logits.grad.abs().max() == 0

    def test_gradient_of_a_pixel_is_its_weight_times_the_usual(self) -> None:
        masks, weights = torch.tensor([[[1, 0, 1, 1]]]), torch.tensor([[[1.0, 0.5, 0.25, 0.0]]])
        grads = []
        for given in (weights, None):
            logits = self.LOGITS.clone().requires_grad_()
            pixel_cross_entropy(logits, masks, given).backward()
            assert logits.grad is not None
            grads.append(logits.grad)
        torch.testing.assert_close(grads[0], grads[1] * weights[:, None])

    def test_weights_of_another_size_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"weights .*\(1, 1\).*\(1, 1, 4\)"):
            pixel_cross_entropy(self.LOGITS, torch.zeros(1, 1, 4, dtype=torch.int64), torch.ones(1, 1))
