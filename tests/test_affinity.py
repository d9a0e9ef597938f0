"""CAMs spread by patch affinity, and the boxes that limit them, against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from semples.method.affinity import balance_affinity, region_boxes, spread_cams


class TestAffinity:
    def test_the_balance_of_two_by_hand(self) -> None:
        """The doubly stochastic scaling of ((a, b), (c, d)) has sqrt(ad) / (sqrt(ad) + sqrt(bc)) on its diagonal."""
        found = balance_affinity(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), iterations=50)
        diagonal = 2 / (2 + math.sqrt(6))
        expected = torch.tensor([[[diagonal, 1 - diagonal], [1 - diagonal, diagonal]]])
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)

    def test_rows_and_columns_of_attention_sum_to_1(self) -> None:
        attention = torch.rand(2, 12, 12, generator=torch.Generator().manual_seed(0)).mul(3).softmax(-1)
        found = balance_affinity(attention)
        torch.testing.assert_close(found, found.transpose(1, 2))
        torch.testing.assert_close(found.sum(-1), torch.ones(2, 12), atol=1e-4, rtol=0)

    def test_equal_affinity_spreads_the_mean_inside_the_box(self) -> None:
        cams = torch.zeros(1, 1, 3, 4)
        cams[0, 0, 0, 0], cams[0, 0, 1, 1] = 1.0, 0.8
        found = spread_cams(cams, torch.ones(1, 12, 12), 1, 0.5)
        expected = torch.zeros(3, 4)
        expected[:2, :2] = 1.8 / 12
        torch.testing.assert_close(found[0, 0], expected)

    def test_each_step_reaches_one_neighbor_further(self) -> None:
        """On a chain 0 - 1 - 2 of equal weights one step leaves patch 2 empty, two steps reach it."""
        chain = torch.tensor([[[1.0, 1.0, 1e-9], [1.0, 1e-9, 1.0], [1e-9, 1.0, 1.0]]])
        cams = torch.tensor([[[[1.0, 0.0, 0.0]]]])
        one, two = (spread_cams(cams, chain, steps, -1.0)[0, 0, 0, 2].item() for steps in (1, 2))
        assert one == pytest.approx(0, abs=1e-6)
        assert two == pytest.approx(0.25, abs=1e-6)

    def test_classes_and_images_keep_their_own_box(self) -> None:
        cams = torch.zeros(2, 2, 2, 2)
        cams[0, 0, 0, 0] = cams[0, 1, 1, 1] = cams[1, 0, 0, 1] = 1
        found = spread_cams(cams, torch.ones(2, 4, 4), 2, 0.4) > 0
        assert torch.equal(found, cams > 0)

    def test_gradients_reach_cams_and_affinity(self) -> None:
        cams = torch.rand(1, 2, 2, 2, dtype=torch.float64, requires_grad=True)
        affinity = torch.rand(1, 4, 4, dtype=torch.float64).add(0.1).requires_grad_()
        assert torch.autograd.gradcheck(lambda c, a: spread_cams(c, a, 2, -1.0), (cams, affinity))

    def test_an_affinity_of_another_grid_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"affinity .*\(1, 5, 5\).*\(1, 4, 4\)"):
            spread_cams(torch.zeros(1, 1, 2, 2), torch.ones(1, 5, 5), 1, 0.4)


class TestRegionBoxes:
    def test_boxes_by_hand(self) -> None:
        """A diagonal pair is one region; a lone cell another; an empty mask has none."""
        rows = ["#....", ".#...", ".....", "....#"]
        mask = torch.tensor([[cell == "#" for cell in row] for row in rows])
        expected = mask.clone()
        expected[:2, :2] = True
        assert torch.equal(region_boxes(torch.stack([mask, ~mask & False])), torch.stack([expected, ~mask & False]))

    def test_a_ring_covers_what_is_inside(self) -> None:
        mask = torch.ones(4, 5, dtype=torch.bool)
        mask[1:3, 1:4] = False
        assert region_boxes(mask).all()

    def test_random_masks_against_flood_fill(self) -> None:
        masks = torch.rand(8, 9, 11, generator=torch.Generator().manual_seed(0)) < 0.25
        for mask, found in zip(masks, region_boxes(masks), strict=True):
            assert torch.equal(found, boxes_by_flood_fill(mask))


def boxes_by_flood_fill(mask: Tensor) -> Tensor:
    left = {(int(y), int(x)) for y, x in mask.nonzero()}
    boxes = torch.zeros_like(mask)
    while left:
        region, waiting = [], [left.pop()]
        while waiting:
            y, x = waiting.pop()
            region.append((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            waiting += near
        ys, xs = zip(*region, strict=True)
        boxes[min(ys) : max(ys) + 1, min(xs) : max(xs) + 1] = True
    return boxes
