"""Criteria that ask the vision-language model what is inside and outside of the masks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from semples.inference.thresholds.base import FALLBACK, Criterion, best_threshold, costs_by_candidate
from semples.inference.thresholds.image_maps import ImageMaps
from semples.inference.thresholds.second_opinion import ValueHistogram, second_opinion
from semples.method.losses import MatchScore
from semples.method.masks import masked_regions
from semples.method.thresholds import CANDIDATES, hard_masks, prompt_costs, shrunk_costs
from semples.models.vision_language.model import VisionLanguageModel
from semples.parallel.processes import unshard
from semples.records import Sample
from semples.rundir.threshold import ThresholdChoice

PRIOR = 10.0
"""n0 of :func:`semples.method.thresholds.shrunk_costs`: number of images that the mean of a class counts as."""


@dataclass(frozen=True)
class RegionJudge:
    """Judges the regions on both sides of a cut by class texts and learned prompts.

    Attributes:
        vision_language: The frozen vision-language model.
        score: Match score of its features.
        texts: Features [K, D] of the class texts.
        prompts: Features [K, D] of the learned prompts.
        left_out: Classes whose prompts describe nothing, bool [K]; None for none. Their pairs prefer no candidate.
    """

    vision_language: VisionLanguageModel
    score: MatchScore
    texts: Tensor
    prompts: Tensor
    left_out: Tensor | None = None

    @torch.no_grad()
    def pair_costs(self, maps: Iterable[ImageMaps]) -> list[tuple[int, Tensor]]:
        """Return the class of each (image, class) pair of all processes, and the cost [T] of each candidate."""
        costs = [
            [
                (index, self._costs(index, inside, outside).cpu())
                for index, inside, outside in self.region_features(image)
            ]
            for image in maps
        ]
        return [pair for pairs in unshard(costs) for pair in pairs]

    def _costs(self, index: int, inside: Tensor, outside: Tensor) -> Tensor:
        costs = prompt_costs(inside, outside, self.texts[index], self.prompts[index], self.score)
        return costs if self.left_out is None or not self.left_out[index] else torch.zeros_like(costs)

    @torch.no_grad()
    def region_features(self, maps: ImageMaps) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Yield each class of an image, with the features [T, D] of foreground and background at each candidate.

        An empty region shows nothing but the fill color, which matches nothing well.
        """
        image = maps.read_image()[None]
        for masks, index in zip(hard_masks(maps.cams), maps.classes.tolist(), strict=True):
            same_image = torch.zeros(len(masks), dtype=torch.int64, device=masks.device)
            regions = masked_regions(image, masks.float(), same_image, self.vision_language.fill)
            inside, outside = self.vision_language.encode_images(torch.cat(regions)).chunk(2)
            yield index, inside, outside


class PromptsCriterion(Criterion):
    """Prefers masks with the class inside, and the background that its prompt describes outside."""

    name: ClassVar[str] = "prompts"

    def __init__(self, judge: RegionJudge) -> None:
        super().__init__(judge.texts.device)
        self.judge = judge

    def costs(self, maps: Iterable[ImageMaps]) -> list[float]:
        """Return the mean cost of each candidate over all (image, class) pairs."""
        costs = [cost for _, cost in self.judge.pair_costs(maps)]
        return list(torch.stack(costs).mean(0).tolist()) if costs else [0.0] * len(CANDIDATES)

    def decide(self, costs: Sequence[float], histogram: ValueHistogram) -> ThresholdChoice:
        """Choose as every criterion; another one decides if no class has a prompt that can be asked."""
        if self.judge.left_out is None or not self.judge.left_out.all():
            return super().decide(costs, histogram)
        other, costs = second_opinion(histogram.total(self.device), self.name)
        return ThresholdChoice(other, best_threshold(costs), costs_by_candidate(costs))

    def reconsider(self, choice: ThresholdChoice, other: str, costs: Sequence[float]) -> ThresholdChoice:
        """Replace the choice: at either end of the candidates, the costs do not find the objects.

        Costs that keep falling down to the lowest candidate, at which masks cover nearly whole images, mean that the
        maps miss the objects: the result is :data:`FALLBACK`. Costs that keep falling up to the highest, at which masks
        are nearly empty, mean that the prompt describes the class itself: the other criterion decides.
        """
        if choice.threshold == CANDIDATES[0]:
            return replace(choice, threshold=FALLBACK, others={other: best_threshold(costs)})
        return ThresholdChoice(
            other, best_threshold(costs), costs_by_candidate(costs), others={self.name: choice.threshold}
        )


class ImagePromptsCriterion(PromptsCriterion):
    """Does the same for each class of each image, with costs shrunk toward the mean of the class."""

    name: ClassVar[str] = "prompts_image"
    for_each_image: ClassVar[bool] = True

    def choose(self, maps: Iterable[ImageMaps]) -> ThresholdChoice:
        """Choose one threshold for all images, as criterion ``prompts`` does."""
        return PromptsCriterion(self.judge).choose(maps)

    def choose_for_images(self, maps: Iterable[ImageMaps], samples: Sequence[Sample]) -> ThresholdChoice:
        """Choose a threshold for each class of each image.

        Args:
            maps: This process's share of the maps, one for each sample.
            samples: The images of all processes.
        """
        histogram = ValueHistogram()
        pair_costs = self.judge.pair_costs(histogram.watch(maps))
        if not pair_costs:
            return ThresholdChoice(self.name, FALLBACK)
        costs = torch.stack([cost for _, cost in pair_costs])  # [P, T]
        classes = torch.tensor([index for index, _ in pair_costs])
        mean_costs = costs.mean(0).tolist()
        choice = self.decide(mean_costs, histogram)
        if choice.criterion != self.name:
            return choice
        remaining = iter(shrunk_costs(costs, classes, PRIOR).tolist())  # in the order of the samples and their tags
        images = {
            sample.id: [best_threshold(next(remaining), choice.threshold) for _ in sample.tags] for sample in samples
        }
        return replace(choice, images=images)
