"""Stage 2: learn one background prompt per class from background regions that are embedded once.

Mask generator and vision-language model are frozen, so the background region of an image never changes: its feature is
computed once and cached, and an epoch over the cached features takes milliseconds.
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
from semples.rundir.words import LearnedWords, NearestWords, write_words
from semples.runtime.context import Run, training_options
from semples.runtime.vocabulary import word_features
from semples.training.devices import set_seed
from semples.training.loop import StepResult, fit

PROMPT_EPS = 1e-4
"""Softness of the masks in stage 2, nearly binary (``docs/method.md``)."""

BATCH = 32
"""Images whose backgrounds are embedded in one pass."""


class CachedBackgrounds(torch.utils.data.Dataset[dict[str, Tensor]]):
    """Features of background regions in memory; the views of a region are taken in turn, one per epoch.

    Args:
        features: Features [V, P, D] of V views of P regions.
        classes: 0-based class [P] of each region.
        ids: Id of each region's image.
    """

    def __init__(self, features: Tensor, classes: Tensor, ids: Sequence[str]) -> None:
        self.features, self.classes, self.ids = features, classes, ids
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        view = self.features[self.epoch % len(self.features)]  # [P, D]
        return {"features": view[index], "classes": self.classes[index], "index": torch.tensor(index)}


@dataclass(frozen=True)
class PromptStep:
    """One training step of stage 2.

    Args:
        vision_language: The frozen vision-language model.
        score: Returns the match score of image and prompt, which may change between epochs.
        texts: Features [K, D] of the classes' texts.
        lambda_text: Weight of the term that pushes a prompt away from its class text.
    """

    vision_language: VisionLanguageModel
    score: Callable[[], MatchScore]
    texts: Tensor
    lambda_text: float

    def __call__(self, bank: torch.nn.Module, batch: Mapping[str, Tensor]) -> StepResult:
        """Return the losses of the prompts on a batch of regions: ``features`` [P, D] and ``classes`` [P]."""
        features, classes = batch["features"], batch["classes"]
        prompts = self.vision_language.encode_prompts(bank())[classes]  # [P, D]
        texts, score = self.texts[classes], self.score()
        parts = prompt_loss(features, texts, prompts, score, self.lambda_text)
        figures = {
            "text_similarity": (texts * prompts).sum(-1).mean(),
            "clamped/push": TEXT_SCORE.clamped_share(texts, prompts),
            "clamped/pull": score.clamped_share(features, prompts),
        }
        return StepResult(parts, figures)


def prompts(run: Run) -> None:
    """Learn the prompts; write them, and the words nearest to them after each epoch."""
    settings, names = run.config.prompts, run.dataset.catalogue.names
    vision_language = run.models.vision_language
    backgrounds = embed_backgrounds(run, "match" if run.models.trains_generator else "classify")
    words, features_of_words = word_features(run.models, run.given_words, run.log)
    texts = run.models.class_features()
    set_seed(run.config.seed)
    bank = _new_prompt_bank(run)
    words_by_epoch: list[dict[str, NearestWords]] = []  # fit adds one entry per epoch
    initial_score, final_score = run.models.match_score, run.models.prompt_score

    def current_score() -> MatchScore:
        # A clamped cosine below 0 has no gradient: the model's own score first brings the prompts near.
        return initial_score if len(words_by_epoch) < settings.approach * settings.epochs else final_score

    @torch.no_grad()
    def words_of_prompts() -> dict[str, NearestWords]:
        features = vision_language.encode_prompts(bank())
        nearest = nearest_words(features, words, features_of_words, settings.nearest_words)
        return dict(zip(names, nearest, strict=True))

    order = torch.Generator().manual_seed(run.config.seed)
    fit(
        "prompts",
        bank,
        PromptStep(vision_language, current_score, texts, settings.lambda_text),
        [(list(bank.parameters()), 1.0)],
        DataLoader(backgrounds, settings.batch_size, shuffle=True, generator=order),
        training_options(settings),
        run.accelerator,
        run.log,
        run.checkpoint("prompts"),
        after_epoch=words_of_prompts,
        history=words_by_epoch,
    )
    run.models.save_prompts(bank.vectors)
    if is_main_process():
        by_class = {name: [epoch[name] for epoch in words_by_epoch] for name in names}
        write_words(run.directory.words, LearnedWords(range(1, len(words_by_epoch) + 1), by_class))


def _new_prompt_bank(run: Run) -> PromptBank:
    settings, vision_language = run.config.prompts, run.models.vision_language
    generator = torch.Generator().manual_seed(run.config.seed)
    deviation = vision_language.word_deviation if settings.start == "words" else None
    width = vision_language.prompt_width
    return PromptBank(run.num_classes, settings.length, width, generator, deviation).to(run.device)


def embed_backgrounds(run: Run, stage: str) -> CachedBackgrounds:
    """Embed the background region of every (training image, class) pair, with the masks of a stage's generator.

    The first view of an image is the whole image; further ones (``prompts.views``) are random crops as in stages 1 and
    3, half of them mirrored. Each process embeds its share of the batches; all processes return all features.
    """
    generator = run.models.load_generator(stage)
    settings = run.config.mask_generator
    views = []
    for view in range(run.config.prompts.views):
        scale = settings.crop_scale if view else 1.0
        # Crops depend on seed and epoch: each view takes the place of an epoch, and so gets crops of its own.
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
    # The pairs are the same in every view, in the same order.
    return CachedBackgrounds(torch.stack([view.features[0] for view in views]), views[0].classes, views[0].ids)


@torch.no_grad()
def _embed_view(run: Run, generator: MaskGenerator, crops: TrainingCrops) -> CachedBackgrounds:
    """Embed one view of every background region: features [1, P, D], in the order of the images."""
    vision_language, threshold = run.models.vision_language, run.config.mask_generator.affinity_threshold
    batches = shard([list(range(start, min(start + BATCH, len(crops)))) for start in range(0, len(crops), BATCH)])
    embedded = []  # of this process: features, classes and image indices of each batch
    for batch in run.log.track(DataLoader(crops, batch_sampler=batches), "backgrounds"):
        pixels, labels = batch["pixels"].to(run.device), batch["labels"].to(run.device)
        image_index, class_index = positive_pairs(labels)
        size = (pixels.shape[-2], pixels.shape[-1])
        with run.accelerator.autocast():
            cams = final_cams(generator(pixels, labels), run.models.affinity_steps, threshold)
            masks = soft_masks(cams, image_index, class_index, size, PROMPT_EPS, generator.divide_by_peak)
            _, background = masked_regions(pixels, masks, image_index, vision_language.fill)
            features = vision_language.encode_images(background).float().cpu()
        embedded.append((features, class_index.cpu(), batch["index"][image_index.cpu()]))
    features, classes, images = (torch.cat(parts) for parts in zip(*unshard(embedded), strict=True))
    return CachedBackgrounds(features[None], classes, [crops.ids[i] for i in images.tolist()])
