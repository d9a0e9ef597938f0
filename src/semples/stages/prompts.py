"""Stage 2: learn one background prompt per class, on background regions embedded once.

Generator and vision-language model are frozen, so the background of an image never changes: its feature is
computed once, and an epoch over the cached features takes milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from semples.data.loading import TrainingCrops
from semples.distributed import is_first, share, unshare
from semples.files import write_json
from semples.losses import TEXT_SCORE, prompt_loss
from semples.masks import masked_regions, positive_pairs, soft_masks
from semples.models.prompts import PromptBank
from semples.stages.cams import final_cams
from semples.stages.run import PROMPTS_FILE, Run, fitting, save_tensors
from semples.stages.words import nearest_words, word_features
from semples.training import StepResult, fit, set_seed

PROMPT_EPS = 1e-4
"""Sharpness of the masks in stage 2 (``docs/method.md``)."""


class CachedBackgrounds(torch.utils.data.Dataset[dict[str, Tensor]]):
    """Features [P, D] of background regions, their classes [P] and the ids of their P images, in memory."""

    def __init__(self, features: Tensor, classes: Tensor, ids: Sequence[str]) -> None:
        self.features, self.classes, self.ids = features, classes, ids

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"features": self.features[index], "classes": self.classes[index], "index": torch.tensor(index)}


def prompts(run: Run) -> None:
    """Learn the prompts; write them, and the words nearest to them after each epoch."""
    settings = run.config.prompts
    vision_language = run.vision_language
    backgrounds = embed_backgrounds(run, "match" if run.trains_generator else "classify")
    names = list(run.dataset.catalogue.prompt_names)
    words, features_of_words = word_features(run)
    with torch.no_grad():
        texts = vision_language.encode_classes(names)
    set_seed(run.config.seed)
    generator = torch.Generator().manual_seed(run.config.seed)
    deviation = vision_language.word_deviation if settings.start == "words" else None
    width = vision_language.prompt_width
    bank = PromptBank(run.num_classes, settings.length, width, generator, deviation).to(run.device)
    history: list[dict[str, list[tuple[str, float]]]] = []

    def step(module: torch.nn.Module, batch: Mapping[str, Tensor]) -> StepResult:
        is_approaching = len(history) < settings.approach * settings.epochs
        score = run.match_score if is_approaching else run.prompt_score
        encoded = vision_language.encode_prompts(module())[batch["classes"]]
        named = texts[batch["classes"]]
        parts = prompt_loss(batch["features"], named, encoded, score, settings.lambda_text)
        figures = {
            "text_similarity": (named * encoded).sum(-1).mean(),
            "clamped/push": TEXT_SCORE.clamped_share(named, encoded),
            "clamped/pull": score.clamped_share(batch["features"], encoded),
        }
        return StepResult(parts, figures)

    @torch.no_grad()
    def read() -> dict[str, list[tuple[str, float]]]:
        encoded = vision_language.encode_prompts(bank())
        nearest = nearest_words(encoded, words, features_of_words, settings.nearest_words)
        return dict(zip(run.dataset.catalogue.names, nearest, strict=True))

    order = torch.Generator().manual_seed(run.config.seed)
    loader = DataLoader(backgrounds, settings.batch_size, shuffle=True, generator=order)
    groups = [(list(bank.parameters()), 1.0)]
    checkpoint = run.checkpoint("prompts")
    fit("prompts", bank, step, groups, loader, fitting(settings), run.accelerator, run.log, checkpoint, read, history)
    if is_first():
        save_tensors(run.folder("prompts") / PROMPTS_FILE, {"vectors": bank.vectors})
        write_json(run.folder("prompts") / "words.json", _words_record(history, run.dataset.catalogue.names))


@torch.no_grad()
def embed_backgrounds(run: Run, stage: str) -> CachedBackgrounds:
    """Embed the background region of every (training image, class) pair, with the masks of a stage's generator.

    Every process does its share of the batches and has all results.
    """
    generator, vision_language = run.load_generator(stage), run.vision_language
    settings = run.config.mask_generator
    whole = TrainingCrops(run.train_images, run.num_classes, settings.image_size, crop_scale=1.0, augment=False)
    batches = share([list(range(start, min(start + 32, len(whole)))) for start in range(0, len(whole), 32)])
    found = []
    for batch in run.log.track(DataLoader(whole, batch_sampler=batches), "backgrounds"):
        pixels, labels = batch["pixels"].to(run.device), batch["labels"].to(run.device)
        image_index, class_index = positive_pairs(labels)
        size = (pixels.shape[-2], pixels.shape[-1])
        cams = final_cams(generator(pixels, labels), run.affinity_steps, settings.affinity_threshold)
        masks = soft_masks(cams, image_index, class_index, size, PROMPT_EPS, generator.divide_by_peak)
        _, background = masked_regions(pixels, masks, image_index, vision_language.fill)
        features = vision_language.encode_images(background).cpu()
        found.append((features, class_index.cpu(), batch["index"][image_index.cpu()]))
    features, classes, images = (torch.cat(parts) for parts in zip(*unshare(found), strict=True))
    return CachedBackgrounds(features, classes, [whole.ids[i] for i in images.tolist()])


def _words_record(history: Sequence[Mapping[str, list[tuple[str, float]]]], names: Sequence[str]) -> dict[str, object]:
    return {
        "epochs": list(range(1, len(history) + 1)),
        "words": {name: [epoch[name] for epoch in history] for name in names},
    }
