"""Stage 2: learn one background prompt per class, on background regions embedded once.

Generator and vision-language model are frozen, so the background of an image never changes: its feature is
computed once, and an epoch over the cached features takes milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from semples.data.crops import TrainingCrops
from semples.inference.cams import final_cams
from semples.method.losses import TEXT_SCORE, MatchScore, prompt_loss
from semples.method.masks import masked_regions, positive_pairs, soft_masks
from semples.models.generators.base import MaskGenerator
from semples.models.prompt_bank import PromptBank
from semples.models.vision_language.model import VisionLanguageModel
from semples.models.vision_language.vocabulary import nearest_words
from semples.parallel.processes import is_main_process, shard, unshard
from semples.rundir.words import LearnedWords, write_words
from semples.runtime.context import Run, training_options
from semples.runtime.vocabulary import word_features
from semples.training.devices import set_seed
from semples.training.loop import StepResult, fit

PROMPT_EPS = 1e-4
"""Sharpness of the masks in stage 2 (``docs/method.md``)."""


BATCH = 32
"""Images whose backgrounds are embedded at once."""


class CachedBackgrounds(torch.utils.data.Dataset[dict[str, Tensor]]):
    """Features [V, P, D] of V views of P background regions, their classes [P] and the ids of their images, in memory.

    Each epoch sees one view of every region, and takes the views in turn.
    """

    def __init__(self, features: Tensor, classes: Tensor, ids: Sequence[str]) -> None:
        self.features, self.classes, self.ids = features, classes, ids
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        view = self.features[self.epoch % len(self.features)]
        return {"features": view[index], "classes": self.classes[index], "index": torch.tensor(index)}


@dataclass(frozen=True)
class PromptStep:
    """One training step of stage 2.

    Args:
        vision_language: The frozen vision-language model.
        score: Gives the match score of image and prompt; it may change on the way.
        texts: Features [K, D] of the classes' texts.
        lambda_text: Weight of the repulsion from the class text.
    """

    vision_language: VisionLanguageModel
    score: Callable[[], MatchScore]
    texts: Tensor
    lambda_text: float

    def __call__(self, bank: torch.nn.Module, batch: Mapping[str, Tensor]) -> StepResult:
        """Judge the prompts of a batch of pairs (``features`` [P, D], ``classes`` [P]) by their backgrounds."""
        features, classes = batch["features"], batch["classes"]
        encoded = self.vision_language.encode_prompts(bank())[classes]
        named, score = self.texts[classes], self.score()
        parts = prompt_loss(features, named, encoded, score, self.lambda_text)
        figures = {
            "text_similarity": (named * encoded).sum(-1).mean(),
            "clamped/push": TEXT_SCORE.clamped_share(named, encoded),
            "clamped/pull": score.clamped_share(features, encoded),
        }
        return StepResult(parts, figures)


def prompts(run: Run) -> None:
    """Learn the prompts; write them, and the words nearest to them after each epoch."""
    settings = run.config.prompts
    vision_language = run.models.vision_language
    backgrounds = embed_backgrounds(run, "match" if run.models.trains_generator else "classify")
    words, features_of_words = word_features(run)
    texts = run.models.class_features()
    set_seed(run.config.seed)
    generator = torch.Generator().manual_seed(run.config.seed)
    deviation = vision_language.word_deviation if settings.start == "words" else None
    width = vision_language.prompt_width
    bank = PromptBank(run.num_classes, settings.length, width, generator, deviation).to(run.device)
    history: list[dict[str, list[tuple[str, float]]]] = []
    first, then = run.models.match_score, run.models.prompt_score

    def score() -> MatchScore:
        return first if len(history) < settings.approach * settings.epochs else then

    @torch.no_grad()
    def read() -> dict[str, list[tuple[str, float]]]:
        encoded = vision_language.encode_prompts(bank())
        nearest = nearest_words(encoded, words, features_of_words, settings.nearest_words)
        return dict(zip(run.dataset.catalogue.names, nearest, strict=True))

    step = PromptStep(vision_language, score, texts, settings.lambda_text)
    order = torch.Generator().manual_seed(run.config.seed)
    loader = DataLoader(backgrounds, settings.batch_size, shuffle=True, generator=order)
    groups = [(list(bank.parameters()), 1.0)]
    checkpoint = run.checkpoint("prompts")
    fit(
        "prompts",
        bank,
        step,
        groups,
        loader,
        training_options(settings),
        run.accelerator,
        run.log,
        checkpoint,
        read,
        history,
    )
    run.models.save_prompts(bank.vectors)
    if is_main_process():
        by_class = {name: [epoch[name] for epoch in history] for name in run.dataset.catalogue.names}
        write_words(run.directory.words, LearnedWords(range(1, len(history) + 1), by_class))


def embed_backgrounds(run: Run, stage: str) -> CachedBackgrounds:
    """Embed the background region of every (training image, class) pair, with the masks of a stage's generator.

    The first view of an image is all of it; further ones (``prompts.views``) are random crops as in stages 1 and 3,
    mirrored half of the time. Every process does its share of the batches and has all results.
    """
    generator = run.models.load_generator(stage)
    settings = run.config.mask_generator
    views = []
    for view in range(run.config.prompts.views):
        scale = settings.crop_scale if view else 1.0
        crops = TrainingCrops(
            run.train_images,
            run.num_classes,
            settings.image_size,
            crop_scale=scale,
            augment=view > 0,
            seed=run.config.seed,
        )
        crops.epoch = view
        views.append(_embed_view(run, generator, crops))
    return CachedBackgrounds(torch.stack([view.features[0] for view in views]), views[0].classes, views[0].ids)


@torch.no_grad()
def _embed_view(run: Run, generator: MaskGenerator, crops: TrainingCrops) -> CachedBackgrounds:
    vision_language, threshold = run.models.vision_language, run.config.mask_generator.affinity_threshold
    batches = shard([list(range(start, min(start + BATCH, len(crops)))) for start in range(0, len(crops), BATCH)])
    found = []
    for batch in run.log.track(DataLoader(crops, batch_sampler=batches), "backgrounds"):
        pixels, labels = batch["pixels"].to(run.device), batch["labels"].to(run.device)
        image_index, class_index = positive_pairs(labels)
        size = (pixels.shape[-2], pixels.shape[-1])
        with run.accelerator.autocast():
            cams = final_cams(generator(pixels, labels), run.models.affinity_steps, threshold)
            masks = soft_masks(cams, image_index, class_index, size, PROMPT_EPS, generator.divide_by_peak)
            _, background = masked_regions(pixels, masks, image_index, vision_language.fill)
            features = vision_language.encode_images(background).float().cpu()
        found.append((features, class_index.cpu(), batch["index"][image_index.cpu()]))
    features, classes, images = (torch.cat(parts) for parts in zip(*unshard(found), strict=True))
    return CachedBackgrounds(features[None], classes, [crops.ids[i] for i in images.tolist()])
