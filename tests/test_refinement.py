"""Refinement steps: numbers by hand, invariances, and the CRF against pydensecrf2's own helpers."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from semples.errors import ConfigError
from semples.method.masks import ignore_band
from semples.method.refinement.dense_crf.refine import dense_crf
from semples.method.refinement.pixel_adaptive import refine
from semples.method.refinement.pixel_adaptive.refine import pixel_adaptive_refinement

RECIPE: dict[str, Any] = {
    "iterations": 10,
    "label_confidence": 0.7,
    "gaussian_sxy": 4.0,
    "gaussian_compat": 3.0,
    "bilateral_sxy": 83.0,
    "bilateral_srgb": 5.0,
    "bilateral_compat": 3.0,
}


def random_maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def pamr(image: Tensor, scores: Tensor, dilations: tuple[int, ...] = (1, 2, 4), iterations: int = 3) -> Tensor:
    return pixel_adaptive_refinement(image, scores, dilations, iterations, 0.1)


class TestPixelAdaptive:
    def test_one_color_gives_the_mean_of_the_eight_neighbors(self) -> None:
        scores = torch.zeros(1, 3, 3)
        scores[0, 1, 1] = 8
        refined = pamr(torch.full((3, 3, 3), 0.3), scores, (1,), 1)
        assert refined[0].tolist() == [[1, 1, 1], [1, 0, 1], [1, 1, 1]]

    def test_borders_are_repeated(self) -> None:
        """Around the middle of a row of 3: the left one 3 times, itself 2 times (above, below), the right one 3."""
        refined = pamr(torch.zeros(3, 1, 3), torch.tensor([[[8.0, 16.0, 32.0]]]), (1,), 1)
        assert refined[0, 0, 1].item() == pytest.approx((3 * 8 + 2 * 16 + 3 * 32) / 8)

    def test_weights_by_hand(self) -> None:
        """Colors 0 0 1: over the 9 pixels 1 occurs 3 times, sigma^2 = 1/3 - 1/9; three weights fall to 1/2."""
        image = torch.tensor([0.0, 0.0, 1.0]).expand(3, 1, 3)
        color_scale = 1 / (math.sqrt(2 / 9) * math.log(2))
        refined = pixel_adaptive_refinement(image, torch.tensor([[[0.0, 0.0, 1.0]]]), (1,), 1, color_scale)
        assert refined[0, 0, 1].item() == pytest.approx(3 * 0.5 / (5 + 3 * 0.5), rel=1e-5)

    def test_channels_are_averaged_each_by_its_own_deviation(self) -> None:
        """The same pattern in one channel of three, at another contrast: a third of the exponent."""
        image = torch.zeros(3, 1, 3)
        image[1, 0, 2] = 0.2
        color_scale = 1 / (math.sqrt(2 / 9) * 3 * math.log(2))
        refined = pixel_adaptive_refinement(image, torch.tensor([[[0.0, 0.0, 1.0]]]), (1,), 1, color_scale)
        assert refined[0, 0, 1].item() == pytest.approx(3 * 0.5 / (5 + 3 * 0.5), rel=1e-5)

    def test_a_sharp_color_edge_stops_the_spreading(self) -> None:
        image = torch.zeros(3, 24, 24)
        image[:, :, 12:] = 1.0
        scores = torch.zeros(1, 24, 24)
        scores[0, 8:16, 4:10] = 1.0
        refined = pixel_adaptive_refinement(image, scores, (1, 2, 4), 10, 0.1)[0]
        assert refined[:, 12:].max() < 1e-3
        assert refined[:, :12].min() > 0.02  # everywhere on its own side
        no_edge = pixel_adaptive_refinement(torch.zeros(3, 24, 24), scores, (1, 2, 4), 10, 0.1)[0]
        assert no_edge[:, 12:].max() > 0.05

    def test_scores_snap_to_the_color_edge(self) -> None:
        """A mask that is two pixels too small grows to the square that is seen, and not beyond."""
        image = torch.full((3, 32, 32), 0.2)
        image[:, 8:24, 8:24] = 0.8
        scores = torch.zeros(2, 32, 32)
        scores[1, 10:22, 10:22] = 1.0
        scores[0] = 0.4
        labels = pixel_adaptive_refinement(image, scores, (1, 2, 4, 8, 12, 24), 10, 0.1).argmax(0)
        assert torch.equal(labels, (image[0] > 0.5).long())

    def test_range_and_sum_are_kept(self) -> None:
        scores = random_maps(4, 20, 30).softmax(0)
        refined = pamr(random_maps(3, 20, 30, seed=1), scores)
        torch.testing.assert_close(refined.sum(0), torch.ones(20, 30))
        for before, after in zip(scores, refined, strict=True):
            assert before.min() <= after.min() + 1e-6
            assert after.max() <= before.max() + 1e-6

    def test_a_constant_background_stays(self) -> None:
        scores = torch.cat([torch.full((1, 20, 30), 0.45), random_maps(2, 20, 30)])
        torch.testing.assert_close(pamr(random_maps(3, 20, 30, seed=1), scores)[0], scores[0])

    @pytest.mark.parametrize("axis", [-1, -2])
    def test_a_mirrored_image_gives_mirrored_scores(self, axis: int) -> None:
        image, scores = random_maps(3, 17, 26, seed=1), random_maps(2, 17, 26)
        torch.testing.assert_close(pamr(image.flip(axis), scores.flip(axis)), pamr(image, scores).flip(axis))

    def test_brightness_and_contrast_do_not_matter(self) -> None:
        image, scores = random_maps(3, 16, 16, seed=1), random_maps(2, 16, 16)
        torch.testing.assert_close(pamr(0.3 * image + 0.5, scores), pamr(image, scores), rtol=1e-3, atol=1e-4)

    def test_tiles_give_what_the_whole_image_gives(self, monkeypatch: pytest.MonkeyPatch) -> None:
        image, scores = random_maps(3, 70, 45, seed=1), random_maps(2, 70, 45)
        whole = pamr(image, scores, (1, 3), 2)  # reaches 6 pixels
        monkeypatch.setattr(refine, "TILE", 20)
        torch.testing.assert_close(pamr(image, scores, (1, 3), 2), whole)
        seen = list(refine._tiles(45, 6))
        assert seen[1] == (slice(8, 16), slice(2, 22))
        assert len(seen) == 6

    def test_another_size_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"scores .*\(2, 4, 5\).*\(5, 4\)"):
            pamr(torch.zeros(3, 5, 4), torch.zeros(2, 4, 5))


class TestDenseCrf:
    @pytest.fixture(autouse=True)
    def _needs_the_extra(self) -> None:
        pytest.importorskip("pydensecrf", reason='needs pydensecrf2: pip install "semples[crf]"')

    def test_equals_pydensecrf_called_by_hand(self) -> None:
        from pydensecrf import densecrf, utils

        image, scores = random_maps(3, 21, 30, seed=1), random_maps(3, 21, 30)
        field = densecrf.DenseCRF2D(30, 21, 3)
        labels = scores.numpy().argmax(0)
        field.setUnaryEnergy(utils.unary_from_labels(labels, 3, gt_prob=0.7, zero_unsure=False))
        field.addPairwiseGaussian(sxy=4, compat=3)
        colors = np.ascontiguousarray(np.rint(image.numpy() * 255).astype(np.uint8).transpose(1, 2, 0))
        field.addPairwiseBilateral(sxy=83, srgb=5, rgbim=colors, compat=3)
        expected = np.array(field.inference(10)).reshape(3, 21, 30)
        np.testing.assert_allclose(dense_crf(image, scores, **RECIPE).numpy(), expected, atol=1e-5)

    def test_marginals_are_probabilities(self) -> None:
        marginals = dense_crf(random_maps(3, 12, 16, seed=1), random_maps(4, 12, 16), **RECIPE)
        assert marginals.dtype == torch.float32
        assert marginals.min() >= 0
        torch.testing.assert_close(marginals.sum(0), torch.ones(12, 16))

    def test_labels_snap_to_the_color_edge(self) -> None:
        image = torch.full((3, 32, 32), 0.2)
        image[:, 8:24, 8:24] = 0.8
        scores = torch.zeros(2, 32, 32)
        scores[0] = 0.5
        scores[1, 10:24, 8:26] = 1.0
        labels = dense_crf(image, scores, **RECIPE).argmax(0)
        assert torch.equal(labels, (image[0] > 0.5).long())

    def test_without_a_class_all_is_background(self) -> None:
        marginals = dense_crf(random_maps(3, 4, 5), torch.full((1, 4, 5), 0.5), **RECIPE)
        assert torch.equal(marginals, torch.ones(1, 4, 5))

    def test_another_size_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"scores .*\(2, 4, 5\).*\(5, 4\)"):
            dense_crf(torch.zeros(3, 5, 4), torch.zeros(2, 4, 5), **RECIPE)


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    with pytest.raises(ConfigError, match=r'dense_crf.* pydensecrf2.*"semples\[crf\]"'):
        dense_crf(torch.zeros(3, 4, 5), torch.zeros(2, 4, 5), **RECIPE)


def test_the_band_ignores_what_its_ends_label_differently() -> None:
    low = torch.tensor([[0, 1, 2, 2]], dtype=torch.uint8)
    high = torch.tensor([[0, 1, 0, 1]], dtype=torch.uint8)
    band = ignore_band(low, high, 255)
    assert band.tolist() == [[0, 1, 255, 255]]
    assert band.dtype == torch.uint8
