"""Costs of thresholds against numbers worked out by hand, and their edges."""

from __future__ import annotations

import math

import pytest
import torch

from semples.method.losses import MatchScore
from semples.method.thresholds import (
    CANDIDATES,
    hard_masks,
    li_costs,
    lowest,
    otsu_costs,
    place_costs,
    prompt_costs,
    shrunk_costs,
)

COSINE = MatchScore("cosine")


def test_candidates_are_evenly_spaced_and_exact() -> None:
    assert CANDIDATES == (0.02, 0.1, 0.18, 0.26, 0.34, 0.42, 0.5, 0.58, 0.66, 0.74)


class TestHardMasks:
    def test_above_is_inside_and_equal_is_not(self) -> None:
        maps = torch.tensor([[[0.0, 0.25, 0.5]], [[1.0, 0.0, 0.0]]])
        masks = hard_masks(maps, (0.25, 0.5))
        assert masks.shape == (2, 2, 1, 3)
        assert masks.dtype == torch.bool
        assert masks[0, :, 0].tolist() == [[False, False, True], [False, False, False]]
        assert masks[1, :, 0].tolist() == [[True, False, False], [True, False, False]]  # an object of one pixel

    def test_maps_without_anything_and_no_maps(self) -> None:
        assert not hard_masks(torch.zeros(1, 2, 2)).any()
        assert hard_masks(torch.zeros(0, 2, 2)).shape == (0, len(CANDIDATES), 2, 2)


class TestPlaceCosts:
    def test_by_hand(self) -> None:
        """Two places of the object, (1, 0), and two of something else, (0.6, 0.8); the map falls from left to right."""
        places = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [0.6, 0.8], [0.6, 0.8]]])
        maps = torch.tensor([[[0.9, 0.6, 0.4, 0.1]]])
        costs = place_costs(places, maps, (0.0, 0.2, 0.5, 0.7, 1.0))
        # Sums of both sides, each with the mean of the image, (0.8, 0.4), on top.
        sides = [((3.4, 1.2), (1.4, 1.2)), ((2.8, 0.4), (2.0, 2.0)), ((1.8, 0.4), (3.0, 2.0))]
        by_hand = [(a * c + b * d) / (math.hypot(a, b) * math.hypot(c, d)) for (a, b), (c, d) in sides]
        assert costs[0].tolist() == pytest.approx([1.0, *by_hand, 1.0])
        assert by_hand[1] == min(by_hand)  # the cut between the two kinds of places

    def test_places_on_the_cut_count_on_both_sides_by_their_share(self) -> None:
        places = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
        maps = torch.tensor([[[1.0, 1.0, 1.0, 0.0]]])  # four pixels, two for each place
        inside, outside = (1.5, 1.0), (0.5, 1.0)  # (1, 0.5) and (0, 0.5), and the mean (0.5, 0.5)
        by_hand = (1.5 * 0.5 + 1.0) / (math.hypot(*inside) * math.hypot(*outside))
        assert place_costs(places, maps, (0.5,)).item() == pytest.approx(by_hand)

    def test_no_maps(self) -> None:
        assert place_costs(torch.rand(2, 2, 3), torch.zeros(0, 4, 4)).shape == (0, len(CANDIDATES))


class TestPromptCosts:
    def test_by_hand(self) -> None:
        """Cosines 0.6 (X_f, text), 0.8 (X_b, text), 0.8 (X_f, prompt), 0.6 (X_b, prompt)."""
        foreground, background = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
        text, prompt = torch.tensor([0.6, 0.8]), torch.tensor([0.8, 0.6])
        cost = prompt_costs(foreground, background, text, prompt, COSINE)
        assert cost.item() == pytest.approx(-math.log(0.6) - math.log(0.2) - math.log(0.2) - math.log(0.6), rel=1e-6)

    def test_one_text_is_broadcast_over_all_thresholds(self) -> None:
        features = torch.nn.functional.normalize(torch.rand(5, 4), dim=-1)
        text, prompt = torch.nn.functional.normalize(torch.rand(2, 4), dim=-1)
        together = prompt_costs(features, features.flip(0), text, prompt, COSINE)
        alone = [prompt_costs(a, b, text, prompt, COSINE) for a, b in zip(features, features.flip(0), strict=True)]
        assert together.shape == (5,)
        assert torch.allclose(together, torch.stack(alone))

    def test_a_foreground_that_takes_all_of_the_background_costs_more(self) -> None:
        """Without the fourth term it would cost less: a smaller background also matches the class less."""

        def features(text_cosine: float, prompt_cosine: float) -> torch.Tensor:
            rest = math.sqrt(1 - text_cosine**2 - prompt_cosine**2)
            return torch.tensor([text_cosine, prompt_cosine, rest])

        text, prompt, foreground = torch.eye(3)[0], torch.eye(3)[1], features(0.6, 0.5)
        tight, wide = features(0.4, 0.7), features(0.2, 0.3)
        costs = [prompt_costs(foreground, b, text, prompt, COSINE).item() for b in (tight, wide)]
        three = [cost + COSINE.log(b, prompt).item() for cost, b in zip(costs, (tight, wide), strict=True)]
        assert three[1] < three[0]
        assert costs[1] > costs[0]

    def test_the_score_may_be_a_sigmoid(self) -> None:
        score = MatchScore("sigmoid", 2.0, -1.0)  # sigmoid(2 * cosine - 1)
        a, b = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
        cost = prompt_costs(a, b, a, b, score).item()  # all four parts are log(1 + exp(-1))
        assert cost == pytest.approx(4 * math.log(1 + math.exp(-1)), rel=1e-6)


class TestShrunkCosts:
    def test_by_hand(self) -> None:
        """Class 0 has the mean (2, 4), class 2 only itself; class 1 never occurs."""
        costs = torch.tensor([[1.0, 3.0], [3.0, 5.0], [7.0, 0.0]])
        drawn = shrunk_costs(costs, torch.tensor([0, 0, 2]), 10)
        assert drawn.tolist() == [[21.0, 43.0], [23.0, 45.0], [77.0, 0.0]]

    def test_without_a_prior_each_pair_is_judged_alone_and_no_pair_gives_no_cost(self) -> None:
        costs = torch.rand(4, 3)
        assert torch.equal(shrunk_costs(costs, torch.tensor([1, 0, 1, 1]), 0), costs)
        assert shrunk_costs(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), 10).shape == (0, 3)


class TestLi:
    def test_by_hand(self) -> None:
        """Values 0, 0, 1/3, 2/3. Cut at 0.2: mean 1/2 above, 0 below; at 0.5: 2/3 above, 1/9 below."""
        costs = li_costs(torch.tensor([2, 1, 1, 0]), (0.2, 0.5))
        at_half = -(1 / 6 * math.log(2 / 3) + 1 / 12 * math.log(1 / 9))
        assert costs.tolist() == pytest.approx([-1 / 4 * math.log(1 / 2), at_half])

    def test_an_empty_side_leaves_one_mean_for_all(self) -> None:
        costs = li_costs(torch.tensor([2, 1, 1, 0]), (0.2, 0.9))
        assert costs[1].item() == pytest.approx(-1 / 4 * math.log(1 / 4))
        assert costs[1] > costs[0]

    @pytest.mark.parametrize("histogram", [[0, 0, 0], [5, 0, 0], [0, 0, 7]], ids=["nothing", "zeros", "ones"])
    def test_if_nothing_can_be_separated_all_cost_the_same(self, histogram: list[int]) -> None:
        assert li_costs(torch.tensor(histogram)).tolist() == [0.0] * len(CANDIDATES)

    def test_it_cuts_long_tails_lower_than_otsu(self) -> None:
        tail = torch.tensor([round(10_000 * 0.97**level) for level in range(256)])
        assert lowest(li_costs(tail).tolist()) < lowest(otsu_costs(tail).tolist())  # type: ignore[operator]


class TestOtsu:
    def test_by_hand(self) -> None:
        """Values 0, 0, 1/3, 2/3: variance 11/144; cut at 0.5 leaves 1/54 within, cut at 0.2 leaves 1/72."""
        costs = otsu_costs(torch.tensor([2, 1, 1, 0]), (0.2, 0.5))
        assert costs.tolist() == pytest.approx([(1 / 72) / (11 / 144), (1 / 54) / (11 / 144)])

    def test_two_values_are_separated_completely(self) -> None:
        assert otsu_costs(torch.tensor([3, 1])).tolist() == pytest.approx([0.0] * len(CANDIDATES))

    @pytest.mark.parametrize("histogram", [[0, 0, 0], [5, 0, 0], [0, 0, 7]], ids=["nothing", "zeros", "ones"])
    def test_if_nothing_can_be_separated_all_cost_1(self, histogram: list[int]) -> None:
        assert otsu_costs(torch.tensor(histogram)).tolist() == [1.0] * len(CANDIDATES)

    def test_an_empty_side_costs_1(self) -> None:
        costs = otsu_costs(torch.tensor([2, 1, 0, 0]), (0.2, 0.5))  # nothing is above 1/3
        assert costs.tolist() == pytest.approx([0.0, 1.0])


class TestLowest:
    def test_between_candidates_by_a_parabola(self) -> None:
        thresholds = (0.1, 0.2, 0.3, 0.4)
        assert lowest([(t - 0.24) ** 2 for t in thresholds], thresholds) == 0.24

    @pytest.mark.parametrize(("costs", "best"), [([1.0, 2.0, 3.0], 0.1), ([3.0, 2.0, 1.0], 0.3)])
    def test_an_end_is_the_end(self, costs: list[float], best: float) -> None:
        assert lowest(costs, (0.1, 0.2, 0.3)) == best

    def test_two_equal_costs_give_the_middle(self) -> None:
        assert lowest([2.0, 1.0, 1.0, 2.0], (0.1, 0.2, 0.3, 0.4)) == 0.25

    def test_equal_costs_give_no_threshold(self) -> None:
        assert lowest([0.5] * len(CANDIDATES)) is None

    def test_one_cost_for_each_threshold(self) -> None:
        with pytest.raises(ValueError, match="2 costs for 10 thresholds"):
            lowest([1.0, 2.0])
        with pytest.raises(ValueError, match="0 costs for 0 thresholds"):
            lowest([], ())
