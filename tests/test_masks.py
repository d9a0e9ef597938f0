"""Masks, regions and label maps against golden numbers, numbers worked by hand, and finite differences."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from references import label_map
from semples.method.masks import (
    divide_cams_by_peak,
    labels_at_size,
    masked_regions,
    merge_multiscale_cams,
    normalize_cams,
    positive_pairs,
    score_margin,
    soft_masks,
    upsample_cams,
    winning_labels,
    with_background,
)

HALVES = [torch.float16, torch.bfloat16]


@pytest.fixture(scope="module")
def golden(shared_data: Path) -> dict[str, Tensor]:
    return load_file(shared_data / "parity" / "fixture.safetensors")


def random_cams(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64).to(dtype)


class TestGolden:
    """Sections 5 and 7 of the golden numbers."""

    def test_pairs(self, golden: dict[str, Tensor]) -> None:
        assert torch.equal(torch.stack(positive_pairs(golden["in.labels"]), 1), golden["out.mask.pairs"])

    def test_extremes_of_the_upsampled_cams(self, golden: dict[str, Tensor]) -> None:
        cams = upsample_cams(golden["out.mg.square.fine_cam"], (64, 64), align_corners=True)
        pairs = cams[positive_pairs(golden["in.labels"])]
        torch.testing.assert_close(pairs.amax((1, 2)), golden["out.mask.map_max"], atol=3.6e-5, rtol=0)
        torch.testing.assert_close(pairs.amin((1, 2)), golden["out.mask.map_min"], atol=8.3e-6, rtol=0)

    @pytest.mark.parametrize(("name", "eps", "atol"), [("soft", 0.1, 4.6e-5), ("sharp", 1e-4, 6e-5)])
    def test_masks_and_regions(self, golden: dict[str, Tensor], name: str, eps: float, atol: float) -> None:
        image_index, class_index = positive_pairs(golden["in.labels"])
        cams = golden["out.mg.square.fine_cam"]
        masks = soft_masks(cams, image_index, class_index, (64, 64), eps, divide_by_peak=False)
        torch.testing.assert_close(masks, golden[f"out.mask.{name}"], atol=atol, rtol=0)
        # The golden images are normalized already, so that the mean color is zero.
        normalized = golden["in.mg.square.input"]
        foreground, background = masked_regions(normalized, masks, image_index, torch.zeros(3))
        torch.testing.assert_close(foreground, golden[f"out.mask.{name}.fg"], atol=7.5e-5, rtol=0)
        torch.testing.assert_close(background, golden[f"out.mask.{name}.bg"], atol=7.6e-5, rtol=0)

    @pytest.mark.parametrize("image", [0, 1])
    @pytest.mark.parametrize("threshold", [0.42, 0.5])
    def test_label_maps(self, golden: dict[str, Tensor], image: int, threshold: float) -> None:
        cams, class_ids = golden[f"out.ms.{image}.maps"], golden[f"out.ms.{image}.class_ids"]
        expected = golden[f"out.ms.{image}.pred.t{threshold}"]
        assert torch.equal(label_map(cams, class_ids, threshold), expected)

    @pytest.mark.parametrize("image", [0, 1])
    def test_merging_keeps_finished_maps(self, golden: dict[str, Tensor], image: int) -> None:
        maps = golden[f"out.ms.{image}.maps"]
        torch.testing.assert_close(merge_multiscale_cams([maps, 3 * maps]), maps, atol=3e-5, rtol=0)


class TestPositivePairs:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.uint8, torch.bool])
    def test_image_by_image(self, dtype: torch.dtype) -> None:
        labels = torch.tensor([[0, 1, 1], [0, 0, 0], [1, 0, 0]], dtype=dtype)
        image_index, class_index = positive_pairs(labels)
        assert image_index.tolist() == [0, 0, 2]
        assert class_index.tolist() == [1, 2, 0]

    def test_no_label_gives_no_pair(self) -> None:
        image_index, class_index = positive_pairs(torch.zeros(2, 3))
        assert image_index.shape == class_index.shape == (0,)

    def test_bad_shape_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"labels .*\(3,\).*\[B, K\]"):
            positive_pairs(torch.ones(3))


class TestNormalizeCams:
    def test_by_hand(self) -> None:
        cams = torch.tensor([[[1.0, 2.0, 5.0]], [[0.0, 0.5, 0.1]]])
        expected = torch.tensor([[[0.0, 0.2, 0.8]], [[0.0, 1 / 3, 1 / 15]]])
        torch.testing.assert_close(normalize_cams(cams, eps=1.0), expected)

    def test_gradients_pass_through_minimum_and_maximum(self) -> None:
        cams = random_cams(2, 3, 4).requires_grad_()
        assert torch.autograd.gradcheck(lambda x: normalize_cams(x, 0.1), cams)
        # M_2 = (A_2 - A_1) / (A_3 - A_1 + 1), by the quotient rule at A = 1, 2, 3
        cams = torch.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
        normalize_cams(cams, 1.0)[0, 1].backward()
        assert cams.grad is not None
        torch.testing.assert_close(cams.grad, torch.tensor([[-1 / 3 + 1 / 9, 1 / 3, -1 / 9]]))

    @pytest.mark.parametrize("value", [0.0, 0.1, 7.7, 300.3])
    @pytest.mark.parametrize("cells", [(1, 1), (3, 5)])
    def test_constant_maps_become_zero_in_spite_of_rounding(self, value: float, cells: tuple[int, int]) -> None:
        upsampled = upsample_cams(torch.full((1, 2, *cells), value), (53, 71), align_corners=False)
        assert normalize_cams(upsampled, 1e-8).abs().max() == 0

    @pytest.mark.parametrize("level", [0.0, 1.0, 100.0])
    def test_a_faint_pattern_survives(self, level: float) -> None:
        cams = torch.tensor([[level, level * (1 + 1e-5) + 1e-6]])
        assert normalize_cams(cams, 1e-8)[0, 1] > 0.98

    @pytest.mark.parametrize("dtype", HALVES)
    def test_half_precision_has_no_zero_division(self, dtype: torch.dtype) -> None:
        cams = torch.tensor([[[0.0, 0.0]], [[0.25, 1.0]]], dtype=dtype)
        expected = torch.tensor([[[0.0, 0.0]], [[0.0, 1.0]]])
        torch.testing.assert_close(normalize_cams(cams, 1e-8), expected)


class TestUpsampleCams:
    def test_by_hand(self) -> None:
        cams = torch.tensor([[[[0.0, 4.0]]]])
        corners = upsample_cams(cams, (1, 5), align_corners=True)
        centers = upsample_cams(cams, (1, 4), align_corners=False)
        assert corners.flatten().tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
        assert centers.flatten().tolist() == [0.0, 1.0, 3.0, 4.0]

    @pytest.mark.parametrize("dtype", HALVES)
    def test_one_cell_fills_a_non_square_map(self, dtype: torch.dtype) -> None:
        upsampled = upsample_cams(torch.full((1, 1, 1, 1), 0.5, dtype=dtype), (3, 7), align_corners=True)
        assert upsampled.dtype == torch.float32
        assert torch.equal(upsampled, torch.full((1, 1, 3, 7), 0.5))


class TestDivideCamsByPeak:
    def test_by_hand(self) -> None:
        cams = torch.tensor([[[2.0, 8.0]], [[0.0, 0.0]]])
        assert divide_cams_by_peak(cams).tolist() == [[[0.25, 1.0]], [[0.0, 0.0]]]

    def test_peak_is_a_constant_for_the_gradient(self) -> None:
        cams = torch.tensor([[[2.0, 8.0]], [[0.0, 0.0]]], requires_grad=True)
        divide_cams_by_peak(cams).sum().backward()
        assert cams.grad is not None
        assert cams.grad.tolist() == [[[0.125, 0.125]], [[1.0, 1.0]]]


class TestSoftMasks:
    def test_equals_the_steps_one_by_one(self) -> None:
        cams = random_cams(2, 3, 4, 6)
        image_index, class_index = torch.tensor([0, 1, 1]), torch.tensor([2, 0, 2])
        masks = soft_masks(cams, image_index, class_index, (9, 20), 0.1, divide_by_peak=True)
        for mask, image, klass in zip(masks, image_index, class_index, strict=True):
            alone = cams[image, klass] / cams[image, klass].max()
            upsampled = upsample_cams(alone[None, None], (9, 20), align_corners=True)[0, 0]
            expected = (upsampled - upsampled.min()) / (upsampled.max() - upsampled.min() + 0.1)
            torch.testing.assert_close(mask, expected)

    def test_peak_makes_the_scale_of_the_generator_irrelevant(self) -> None:
        cams, pair = random_cams(1, 1, 3, 3), (torch.tensor([0]), torch.tensor([0]))
        weak, strong = (soft_masks(c, *pair, (6, 6), 0.1, divide_by_peak=True) for c in (cams / 50, cams * 50))
        torch.testing.assert_close(weak, strong)
        assert soft_masks(cams / 50, *pair, (6, 6), 0.1, divide_by_peak=False).max() < 0.3

    def test_align_corners_reaches_the_upsampling(self) -> None:
        cams, pair = torch.tensor([[[[0.0, 4.0]]]]), (torch.tensor([0]), torch.tensor([0]))
        masks = soft_masks(cams, *pair, (1, 4), 4.0, divide_by_peak=False, align_corners=False)
        assert masks.tolist() == [[[0.0, 0.125, 0.375, 0.5]]]

    def test_gradients(self) -> None:
        cams = random_cams(2, 2, 2, 3).requires_grad_()
        pairs = torch.tensor([0, 1]), torch.tensor([1, 0])
        assert torch.autograd.gradcheck(lambda x: soft_masks(x, *pairs, (4, 5), 0.1, False), cams)

    @pytest.mark.parametrize("dtype", HALVES)
    @pytest.mark.parametrize("divide_by_peak", [True, False])
    def test_dead_maps_and_no_pairs(self, dtype: torch.dtype, divide_by_peak: bool) -> None:
        cams, first = torch.zeros(1, 1, 2, 3, dtype=dtype), torch.tensor([0])
        assert soft_masks(cams, first, first, (4, 6), 1e-4, divide_by_peak).abs().max() == 0
        none = torch.zeros(0, dtype=torch.int64)
        assert soft_masks(cams, none, none, (4, 6), 1e-4, divide_by_peak).shape == (0, 4, 6)


class TestMaskedRegions:
    def test_by_hand(self) -> None:
        pixels = torch.stack([torch.full((3, 1, 3), 0.5), torch.full((3, 1, 3), 1.0)])
        masks = torch.tensor([[[0.0, 0.5, 1.0]]])
        foreground, background = masked_regions(pixels, masks, torch.tensor([1]), torch.tensor([0.0, 0.5, 0.75]))
        torch.testing.assert_close(
            foreground[0, :, 0], torch.tensor([[0.0, 0.5, 1.0], [0.5, 0.75, 1.0], [0.75, 0.875, 1.0]])
        )
        torch.testing.assert_close(
            background[0, :, 0], torch.tensor([[1.0, 0.5, 0.0], [1.0, 0.75, 0.5], [1.0, 0.875, 0.75]])
        )

    def test_is_the_published_formula(self) -> None:
        pixels, masks, index = random_cams(2, 3, 4, 5), random_cams(3, 4, 5), torch.tensor([0, 0, 1])
        fill = torch.tensor([0.48, 0.46, 0.41], dtype=torch.float64)
        foreground, background = masked_regions(pixels, masks, index, fill)
        weight, images, color = masks[:, None], pixels[index], fill[:, None, None]
        torch.testing.assert_close(foreground, weight * images + (1 - weight) * color)
        torch.testing.assert_close(background, (1 - weight) * images + weight * color)

    def test_gradients_reach_the_masks(self) -> None:
        pixels, masks = random_cams(1, 3, 2, 3), random_cams(2, 2, 3).requires_grad_()
        fill = torch.full((3,), 0.4, dtype=torch.float64)
        assert torch.autograd.gradcheck(lambda m: masked_regions(pixels, m, torch.tensor([0, 0]), fill), masks)

    def test_what_does_not_fit_is_refused(self) -> None:
        pixels, index, fill = torch.zeros(2, 3, 4, 5), torch.tensor([0, 1]), torch.zeros(3)
        with pytest.raises(ValueError, match=r"masks .*\(2, 1, 5\).*\(2, 4, 5\)"):
            masked_regions(pixels, torch.zeros(2, 1, 5), index, fill)
        with pytest.raises(ValueError, match=r"masks .*\(1, 4, 5\).*\(2, 4, 5\)"):
            masked_regions(pixels, torch.zeros(1, 4, 5), index, fill)
        with pytest.raises(ValueError, match=r"fill .*\(1,\).*\(3,\)"):
            masked_regions(pixels, torch.zeros(2, 4, 5), index, torch.zeros(1))


class TestLabelMap:
    def test_by_hand_with_ties(self) -> None:
        cams = torch.tensor([[[0.2, 0.5, 0.6, 0.9]], [[0.1, 0.5, 0.7, 0.9]]])
        labels = label_map(cams, torch.tensor([3, 6]), 0.5)
        assert labels.dtype == torch.uint8
        assert labels.tolist() == [[0, 0, 7, 4]]  # 0.5 ties with the background, 0.9 among classes: the first

    def test_extreme_thresholds(self) -> None:
        cams = torch.tensor([[[0.0, 1e-6, 1.0]]])
        assert label_map(cams, torch.tensor([253]), 0.0).tolist() == [[0, 254, 254]]
        assert label_map(cams, torch.tensor([253]), 1.0).tolist() == [[0, 0, 0]]

    def test_threshold_is_rounded_like_the_maps(self) -> None:
        cams = torch.tensor([[[0.1]]])  # 0.100000001 in float32
        assert label_map(cams, torch.tensor([0]), 0.1).item() == 0

    def test_no_class_is_background(self) -> None:
        labels = label_map(torch.zeros(0, 2, 3), torch.zeros(0, dtype=torch.int64), 0.5)
        assert labels.dtype == torch.uint8
        assert labels.tolist() == [[0, 0, 0], [0, 0, 0]]

    @pytest.mark.parametrize("dtype", HALVES)
    def test_half_precision(self, dtype: torch.dtype) -> None:
        cams = torch.tensor([[[0.25, 0.5]], [[0.125, 0.75]]], dtype=dtype)
        assert label_map(cams, torch.tensor([0, 1]), 0.2).tolist() == [[1, 2]]
        rounded_up = torch.tensor([[[0.3]]], dtype=dtype)  # 0.30005 and 0.3008: above the threshold
        assert label_map(rounded_up, torch.tensor([0]), 0.3).item() == 1

    def test_bad_input_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"CAMs .*torch\.uint8.*\[0, 1\].*255"):
            label_map(torch.zeros(1, 2, 2, dtype=torch.uint8), torch.tensor([0]), 0.5)
        with pytest.raises(ValueError, match=r"scores .*\(3, 3, 3\).*\[2, H, W\]"):
            label_map(torch.zeros(2, 3, 3), torch.tensor([0]), 0.5)


class TestMergeMultiscaleCams:
    def test_by_hand(self) -> None:
        runs = [
            torch.tensor([[[0.0, 1.0, 2.0]], [[3.0, 3.0, 3.0]]]),
            torch.tensor([[[1.0, 2.0, 6.0]], [[0.0, 1.0, 4.0]]]),
        ]
        merged = merge_multiscale_cams(iter(runs))  # sums 1, 3, 8 and 3, 4, 7
        torch.testing.assert_close(merged, torch.tensor([[[0.0, 2 / 7, 1.0]], [[0.0, 0.25, 1.0]]]))

    def test_leaves_its_input_alone(self) -> None:
        first = torch.ones(1, 2, 2)
        merge_multiscale_cams([first, first])
        assert torch.equal(first, torch.ones(1, 2, 2))

    def test_bad_input_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no CAMs"):
            merge_multiscale_cams([])
        with pytest.raises(ValueError, match=r"CAMs .*\(1, 3\).*\(2, 3\)"):
            merge_multiscale_cams([torch.zeros(2, 3), torch.zeros(1, 3)])


def test_scores_of_background_and_classes() -> None:
    """The background is first, and wins a tie; it need not be a constant."""
    scores = with_background(torch.tensor([[[0.25, 0.5, 0.75]]], dtype=torch.float16), 0.5)
    assert scores.dtype == torch.float32
    assert scores.tolist() == [[[0.5, 0.5, 0.5]], [[0.25, 0.5, 0.75]]]
    assert winning_labels(scores, torch.tensor([6])).tolist() == [[0, 0, 7]]
    scores[0, 0, 2] = 0.8
    assert winning_labels(scores, torch.tensor([6])).tolist() == [[0, 0, 0]]


class TestLabelsAtSize:
    """Scaling in bands of rows equals scaling the whole."""

    @pytest.mark.parametrize("size", [(7, 5), (40, 64), (3, 2), (1, 1), (9, 5), (7, 80)])
    @pytest.mark.parametrize("most_values", [1, 1000, 10**9])
    def test_same_as_interpolate(self, size: tuple[int, int], most_values: int) -> None:
        logits = torch.randn(2, 4, 7, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        whole = F.interpolate(logits, size, mode="bilinear", align_corners=False)
        found = labels_at_size(logits, size, most_values)
        assert (found.dtype, found.shape) == (torch.uint8, (2, *size))
        assert torch.equal(found, whole.argmax(1).to(torch.uint8))

    def test_by_hand(self) -> None:
        """One column, 2 rows to 4: class 1 has -2, -1, 1 and 2, class 0 has 0."""
        logits = torch.tensor([[0.0, 0.0], [-2.0, 2.0]]).view(1, 2, 2, 1)
        assert labels_at_size(logits, (4, 1)).flatten().tolist() == [0, 0, 1, 1]

    def test_more_than_127_classes(self) -> None:
        logits = torch.zeros(1, 255, 2, 2)
        logits[:, 254] = 1
        assert labels_at_size(logits, (3, 3)).unique().tolist() == [254]


class TestScoreMargin:
    def test_by_hand(self) -> None:
        """Background 0.4 against two classes; a tie has no margin."""
        cams = torch.tensor([[[0.0, 0.9, 0.4, 0.3]], [[0.1, 0.6, 0.0, 1.0]]])
        margin = score_margin(with_background(cams, 0.4))
        torch.testing.assert_close(margin, torch.tensor([[0.3, 0.3, 0.0, 0.6]]))

    def test_without_a_class_the_margin_is_the_background(self) -> None:
        assert score_margin(with_background(torch.zeros(0, 1, 2), 0.4)).tolist() == [[pytest.approx(0.4)] * 2]
