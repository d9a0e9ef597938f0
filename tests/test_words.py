"""Words picked without training, and prompts that are mixtures of words."""

from __future__ import annotations

import pytest
import torch

from semples.method.words import distant_words, word_contrast
from semples.models.prompt_bank import WordMixtures

WORDS = torch.eye(3)
"""Three words along the axes, so that a cosine is a coordinate."""


def test_contrast_is_outside_against_inside_and_against_other_classes() -> None:
    background = torch.tensor([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
    foreground = torch.tensor([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.6, 0.8]])
    contrast = word_contrast(background, foreground, torch.tensor([0, 0, 2]), WORDS, num_classes=4)
    # Class 0: outside (0.8, 0.4, 0), inside (0, 1, 0); class 2: outside (0, 0, 1), inside (0, 0.6, 0.8). 1 and 3 have
    # no pairs, and are not among the others.
    expected = [
        [0.8 + 0.8, 0.4 - 1.0 + 0.4, 0.0 - 1.0],
        [0.0] * 3,
        [0.0 - 0.8, -0.6 - 0.4, 0.2 + 1.0],
        [0.0] * 3,
    ]
    torch.testing.assert_close(contrast, torch.tensor(expected))


def test_a_single_class_is_compared_with_its_inside_alone() -> None:
    contrast = word_contrast(WORDS[:1], WORDS[1:2], torch.tensor([0]), WORDS, num_classes=1)
    torch.testing.assert_close(contrast, torch.tensor([[1.0, -1.0, 0.0]]))


def test_without_pairs_no_word_is_preferred() -> None:
    empty = torch.zeros(0, 3)
    assert word_contrast(empty, empty, torch.zeros(0, dtype=torch.int64), WORDS, num_classes=2).eq(0).all()


def test_a_mixture_is_the_weighted_mean_of_the_words_it_may_use() -> None:
    allowed = torch.tensor([[True, True, False], [False, False, True]])
    mixtures = WordMixtures(2, WORDS, allowed)
    half = 0.5**0.5
    torch.testing.assert_close(mixtures(), torch.tensor([[half, half, 0.0], [0.0, 0.0, 1.0]]))
    with torch.no_grad():
        mixtures.logits[0] = torch.tensor([0.75, 0.25, 100.0]).log()
    torch.testing.assert_close(mixtures()[0], torch.tensor([3.0, 1.0, 0.0]) / 10**0.5)


def test_a_forbidden_word_gets_no_gradient() -> None:
    mixtures = WordMixtures(1, WORDS, torch.tensor([[True, True, False]]))
    mixtures()[0, 0].backward()
    assert mixtures.logits.grad is not None
    assert mixtures.logits.grad[0, 2] == 0
    assert mixtures.logits.grad[0, 0] == pytest.approx(-mixtures.logits.grad[0, 1])


class TestDistantWords:
    WORDS = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-1.0, 0.0]])
    TEXTS = torch.tensor([[1.0, 0.0]])

    @pytest.mark.parametrize(("share", "expected"), [(1.0, [1, 2, 3]), (0.67, [2, 3]), (0.34, [3]), (0.01, [3])])
    def test_those_farthest_from_the_class_are_kept(self, share: float, expected: list[int]) -> None:
        free = torch.tensor([False, True, True, True])
        assert distant_words(self.WORDS, self.TEXTS, free, share).nonzero().flatten().tolist() == expected

    def test_the_nearest_class_counts(self) -> None:
        texts, free = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.ones(4, dtype=torch.bool)
        assert distant_words(self.WORDS, texts, free, 0.5).tolist() == [False, True, False, True]

    def test_no_word_is_free(self) -> None:
        assert not distant_words(self.WORDS, self.TEXTS, torch.zeros(4, dtype=torch.bool), 0.5).any()
