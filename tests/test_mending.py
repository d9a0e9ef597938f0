"""Prompts that became their class: what is removed, and what the rest has to describe."""

from __future__ import annotations

import pytest
import torch

from semples.data.catalogues import catalogue_from_names
from semples.method.mending import describes_backgrounds, without_class
from semples.runtime.regions import CachedRegions
from semples.stages.guided import prompts_and_words, with_generic
from semples.stages.prompt_mending import FinalPrompts, mend_prompts


def test_the_component_along_the_class_text_is_removed() -> None:
    prompts = torch.tensor([[0.8, 0.6, 0.0], [-0.6, 0.0, 0.8], [0.0, 1.0, 0.0], [0.6, 0.0, 0.8]])
    texts = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.8, 0.6, 0.0]])
    # The last: p . t = 0.48, and the rest (0.6 - 0.384, -0.288, 0.8) has the length sqrt(1 - 0.48^2).
    rest = torch.tensor([0.216, -0.288, 0.8]) / (1 - 0.48**2) ** 0.5
    expected = torch.stack([torch.tensor([0.0, 1.0, 0.0]), torch.tensor([0.0, 0.0, 1.0]), prompts[2], rest])
    torch.testing.assert_close(without_class(prompts, texts), expected)


@pytest.mark.parametrize("sign", [1, -1])
def test_nothing_remains_of_the_class_text_itself(sign: int) -> None:
    texts = torch.nn.functional.normalize(torch.rand(3, 50, generator=torch.Generator().manual_seed(0)), dim=1)
    assert without_class(sign * texts, texts).eq(0).all()


def test_a_description_of_backgrounds_beats_the_mean_word() -> None:
    words = torch.tensor([[0.0, 1.0], [1.0, 0.0]])  # mean (0.5, 0.5)
    background, classes = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.6, 0.8]]), torch.tensor([0, 0, 1])
    # Class 0: mean (0.8, 0.4), the mean word matches it by 0.6; class 1: by 0.7; class 2 has no pair.
    for features, expected in (([1.0, 0.0], [True, False, False]), ([0.0, 1.0], [False, True, False])):
        found = describes_backgrounds(torch.tensor([features]).expand(3, -1), background, classes, words)
        assert found.tolist() == expected


WORDS = ["boat", "ships", "water", "sky"]
FEATURES = torch.eye(4)
CATALOGUE = catalogue_from_names(["ship"], {"ship": ["Boat"]}, suggestions={"ship": ["ships"]})


def mended(prompt: list[float], background: list[float]) -> FinalPrompts:
    """Mend a prompt of class "ship", whose text is the word "boat" and whose phrases are "Boat" and "ships"."""
    regions = CachedRegions(torch.tensor([[background]]), torch.tensor([0]), ["image"])
    return mend_prompts(torch.tensor([prompt]), FEATURES[:1], regions, WORDS, FEATURES, CATALOGUE)


@pytest.mark.parametrize(
    ("prompt", "background", "is_mended", "is_left_out"),
    [
        ([0.6, 0.0, 0.8, 0.0], [0.0, 0.0, 1.0, 0.0], False, False),  # nearest to water
        ([0.8, 0.0, 0.6, 0.0], [0.0, 0.0, 1.0, 0.0], True, False),  # nearest to boat, then to water
        ([0.8, 0.6, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], False, True),  # nearest to boat, then to ships
        ([0.8, 0.0, 0.6, 0.0], [0.0, 0.0, 0.0, 1.0], False, True),  # then to water, but all backgrounds are sky
        ([1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], False, True),  # nothing remains
    ],
)
def test_a_prompt_is_mended_or_its_class_is_left_out(
    prompt: list[float], background: list[float], is_mended: bool, is_left_out: bool
) -> None:
    final = mended(prompt, background)
    assert (final.mended.tolist(), final.left_out.tolist()) == ([is_mended], [is_left_out])
    torch.testing.assert_close(final.features, FEATURES[2:3] if is_mended else torch.tensor([prompt]))


def test_a_class_that_is_left_out_keeps_its_words_alone() -> None:
    prompts, left_out = torch.eye(3, 4), torch.tensor([True, True, False])
    words = [torch.empty(0, 4), torch.full((2, 4), 2.0), torch.empty(0, 4)]
    features, weights = prompts_and_words(prompts, words, left_out)
    assert weights.tolist() == [[0, 0, 0], [0, 0.5, 0.5], [1, 0, 0]]
    assert torch.equal(features[2], prompts[2].expand(3, 4))
    _, weights = prompts_and_words(prompts, [prompts[:0]] * 3, left_out)
    assert weights.tolist() == [[0], [0], [1]]


def test_classes_that_are_left_out_get_a_generic_background() -> None:
    backgrounds, left_out = torch.eye(3), torch.tensor([False, True, False])
    generic = torch.tensor([0.0, 0.6, 0.8])
    assert torch.equal(with_generic(backgrounds, left_out, generic)[1], generic)
    half = 0.5**0.5  # without a generic one: the mean of the others
    expected = torch.tensor([[1.0, 0.0, 0.0], [half, 0.0, half], [0.0, 0.0, 1.0]])
    torch.testing.assert_close(with_generic(backgrounds, left_out, None), expected)
