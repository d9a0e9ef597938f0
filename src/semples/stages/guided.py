"""Stages 1 and 3: the same training; stage 3 adds one loss term.

Segment-label matching (stage 1) trains the mask generator so that the region inside a mask matches the class text and
the region outside does not. Semantic refinement (stage 3) adds that the inside must not match the learned background
prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import default_collate

from semples.config import MatchConfig
from semples.data.crops import training_loader
from semples.method.losses import MatchScore, match_loss, suppress_loss
from semples.method.masks import masked_regions, positive_pairs, soft_masks
from semples.models.generators.base import FoundationGenerator
from semples.models.vision_language.model import VisionLanguageModel
from semples.runtime.cam_files import write_cams
from semples.runtime.context import Run, training_options
from semples.stages.classify import training_crops
from semples.training.devices import set_seed
from semples.training.loop import StepResult, fit
from semples.training.parts import mean_in_parts

TRAINING_EPS = 0.1
"""Softness of the masks in stages 1 and 3 (``docs/method.md``)."""


def match(run: Run) -> None:
    """Stage 1: segment-label matching."""
    train_guided(run, "match", run.config.match)


def refine(run: Run) -> None:
    """Stage 3: prompt-guided refinement, restarted from stage 0.

    A trainable generator learns to exclude the words of ``data.background_words`` too. Classes whose prompts became
    the class itself are left out: stage 3 would erase them.
    """
    prompts, left_out, weights = run.models.prompt_features(), run.models.left_out_classes(), None
    if run.models.trains_generator:
        words = run.models.background_features_of_classes()
        if words or left_out.any():
            prompts, weights = prompts_and_words(prompts, words or [prompts[:0]] * run.num_classes, left_out)
    suppress_backgrounds(run, "refine", prompts, weights, left_out)


def prompts_and_words(
    prompts: Tensor, words: Sequence[Tensor], left_out: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Join the learned prompt of each class with words of its own, of which classes may have different numbers.

    Args:
        prompts: Features [K, D] of the prompts.
        words: Features [N_c, D] of the words of each class.
        left_out: Classes whose prompts do not count, bool [K]; None for none.

    Returns:
        Features [K, 1 + max N_c, D], the prompt first, and weights of the same [K, 1 + max N_c]: 1 / (1 + N_c) for each
        background of a class, 0 for the rest, which repeats the prompt. A class that is left out has the weights 0 for
        the prompt and 1 / N_c for each word.
    """
    most = 1 + max(map(len, words))
    features = prompts[:, None].repeat(1, most, 1)
    weights = torch.zeros(len(prompts), most, device=prompts.device)
    for index, own in enumerate(words):
        features[index, 1 : 1 + len(own)] = own
        first = 1 if left_out is not None and left_out[index] else 0
        weights[index, first : 1 + len(own)] = 1 / max(1, 1 + len(own) - first)
    return features, weights


def suppress_backgrounds(
    run: Run, stage: str, backgrounds: Tensor, weights: Tensor | None = None, left_out: Tensor | None = None
) -> None:
    """Make the stage-0 generator exclude the given backgrounds from its CAMs; write it and its CAMs.

    A trainable generator learns to; a foundation generator contrasts the classes with the backgrounds.

    Args:
        run: The run.
        stage: Stage to write to, and its name in logs.
        backgrounds: Text or prompt features: [K, D], one for each class, or [K, N, D], N for each (trainable
            generators only).
        weights: Weights [K, N] of the N backgrounds of a class; None weighs all alike.
        left_out: Classes whose background does not count, bool [K] (foundation generators only: others have the weight
            0 for it); None for none.
    """
    if run.models.trains_generator:
        train_guided(run, stage, run.config.refine, backgrounds, run.config.refine.lambda_suppress, weights)
        return
    generator = run.models.load_generator("classify")
    assert isinstance(generator, FoundationGenerator)
    if left_out is None or not left_out.any():
        generator.replace_backgrounds(backgrounds)
    elif not left_out.all():
        generator.replace_backgrounds(with_generic(backgrounds, left_out, generator.generic_background()))
    run.models.save_generator(stage, generator)
    write_cams(run, stage, generator)


def with_generic(backgrounds: Tensor, left_out: Tensor, generic: Tensor | None) -> Tensor:
    """Give the classes that are left out a background that is no class's own.

    Args:
        backgrounds: Features [K, D] of the classes' backgrounds.
        left_out: Classes whose background does not count, bool [K]; not all of them.
        generic: Feature [D] in its place; None for the normalized mean of the backgrounds that count.

    Returns:
        Features [K, D].
    """
    if generic is None:
        generic = F.normalize(backgrounds[~left_out].mean(0), dim=0)
    return torch.where(left_out[:, None], generic, backgrounds)


@dataclass(frozen=True)
class GuidedStep:
    """One training step of stages 1 and 3.

    Args:
        vision_language: The frozen vision-language model.
        score: Its match score.
        texts: Features [K, D] of the classes' texts.
        lambda_background: Weight of the term that keeps the region outside of the mask from matching the class text.
        divide_by_peak: Whether CAMs are divided by their maximum first
            (:attr:`semples.models.generators.base.MaskGenerator.divide_by_peak`).
        suppressed: Text or prompt features that the foreground of each class must not match: [K, D], or [K, N, D] for
            N of them, over which the loss is averaged; None in stage 1.
        lambda_suppress: Weight of the term that suppresses them.
        suppressed_weights: Weights [K, N] of these N in the average, of sum 1 for each class, or all 0 for a class
            without this term; None weighs all alike.
    """

    vision_language: VisionLanguageModel
    score: MatchScore
    texts: Tensor
    lambda_background: float
    divide_by_peak: bool
    suppressed: Tensor | None = None
    lambda_suppress: float = 0.0
    suppressed_weights: Tensor | None = None

    def __call__(self, generator: torch.nn.Module, batch: Mapping[str, Tensor]) -> StepResult:
        """Mask the images of a batch from :func:`with_pairs`, and return the losses of the two regions of each pair."""
        pixels, image_index, class_index = batch["pixels"], batch["image_index"], batch["class_index"]
        cams = generator(pixels, batch["labels"]).cams
        size = (pixels.shape[-2], pixels.shape[-1])
        masks = soft_masks(cams, image_index, class_index, size, TRAINING_EPS, self.divide_by_peak)

        def compare(masks: Tensor, rows: slice) -> StepResult:
            return self._compare(pixels, masks, image_index[rows], class_index[rows])

        return mean_in_parts(compare, masks, max(1, self.vision_language.images_at_once // 2))  # a pair has two regions

    def _compare(self, pixels: Tensor, masks: Tensor, image_index: Tensor, class_index: Tensor) -> StepResult:
        """Return the losses of some pairs (image, class), with the mask of each."""
        regions = masked_regions(pixels, masks, image_index, self.vision_language.fill)
        foreground, background = self.vision_language.encode_images(torch.cat(regions)).chunk(2)
        texts, score = self.texts[class_index], self.score  # texts: [P, D]
        parts = match_loss(foreground, background, texts, score, self.lambda_background)
        figures = {
            "clamped/match_foreground": score.clamped_share(foreground, texts),
            "clamped/match_background": score.clamped_share(background, texts),
            "mask_area": masks.mean(),
        }
        if self.suppressed is not None:
            unwanted = self.suppressed[class_index].flatten(0, -2)  # [P, D] or [PN, D]
            repeated = foreground.repeat_interleave(len(unwanted) // len(foreground), 0)  # one row per unwanted feature
            weights = None if self.suppressed_weights is None else self.suppressed_weights[class_index]  # [P, N]
            parts |= suppress_loss(repeated, unwanted, score, self.lambda_suppress, weights)
            figures["clamped/suppress"] = score.clamped_share(repeated, unwanted, weights)
        return StepResult(parts, figures)


def with_pairs(items: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Collate items with ``labels`` [K], and add ``image_index`` and ``class_index`` [P] of the batch's positive pairs.

    The pairs are found here, on the CPU: finding them on a GPU would block every step. A batch without pairs, possible
    for one process's share, gets the first image and class as a placeholder, which :func:`count_pairs` does not count.
    """
    batch: dict[str, Tensor] = default_collate(list(items))
    image_index, class_index = positive_pairs(batch["labels"])
    if not len(image_index):
        image_index = class_index = torch.zeros(1, dtype=torch.int64)
    return {**batch, "image_index": image_index, "class_index": class_index}


def count_pairs(batch: Mapping[str, Tensor]) -> Tensor:
    """Return the number of (image, class) pairs in a batch of ``labels`` [B, K]: the losses are means over them."""
    return batch["labels"].sum()


def train_guided(
    run: Run,
    stage: str,
    settings: MatchConfig,
    suppressed: Tensor | None = None,
    lambda_suppress: float = 0.0,
    weights: Tensor | None = None,
) -> None:
    """Train the head of the stage-0 generator under the frozen vision-language model; write it and its CAMs.

    Args:
        run: The run.
        stage: Stage to write to, and its name in logs.
        settings: Length of the training, learning rate and weights of the losses.
        suppressed: Features [K, D] or [K, N, D] that the foreground of each class must not match; None in stage 1.
        lambda_suppress: Weight of the term that suppresses them.
        weights: Weights [K, N] of these N; None weighs all alike.
    """
    set_seed(run.config.seed)
    generator = run.models.load_generator("classify")
    generator.freeze_trunk()
    step = GuidedStep(
        run.models.vision_language,
        run.models.match_score,
        run.models.class_features(),
        settings.lambda_background,
        generator.divide_by_peak,
        suppressed,
        lambda_suppress,
        weights,
    )
    crops = training_crops(run.config, run.train_images, run.num_classes)
    loader = training_loader(crops, settings.batch_size, run.config.seed, run.config.data.workers, with_pairs)
    fit(
        stage,
        generator,
        step,
        [(generator.head_parameters(), 1.0)],
        loader,
        training_options(settings),
        run.accelerator,
        run.log,
        run.checkpoint(stage),
        count=count_pairs,
    )
    run.models.save_generator(stage, generator)
    write_cams(run, stage, generator)
