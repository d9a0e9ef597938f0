"""Features of the regions inside and outside of the masks, embedded once for stage 2."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader

from semples.data.crops import TrainingCrops
from semples.inference.cams import final_cams
from semples.method.masks import masked_regions, positive_pairs, soft_masks
from semples.models.generators.base import MaskGenerator
from semples.models.vision_language.model import VisionLanguageModel
from semples.parallel.processes import shard, unshard
from semples.runtime.context import Run

PROMPT_EPS = 1e-4
"""Softness of the masks in stage 2, nearly binary (``docs/method.md``)."""

BATCH = 32
"""Images whose regions are embedded in one pass."""


class CachedRegions(torch.utils.data.Dataset[dict[str, Tensor]]):
    """Features of regions in memory; the views of a region are taken in turn, one per epoch.

    Args:
        features: Features [V, P, D] of V views of P background regions.
        classes: 0-based class [P] of each region.
        ids: Id of each region's image.
        foregrounds: Features [V, P, D] of the foreground regions, or None if nobody needs them.
    """

    def __init__(
        self, features: Tensor, classes: Tensor, ids: Sequence[str], foregrounds: Tensor | None = None
    ) -> None:
        self.features, self.classes, self.ids, self.foregrounds = features, classes, ids, foregrounds
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        view = self.epoch % len(self.features)
        item = {"features": self.features[view, index], "classes": self.classes[index], "index": torch.tensor(index)}
        return item if self.foregrounds is None else item | {"foregrounds": self.foregrounds[view, index]}


def embed_regions(run: Run, stage: str, with_foreground: bool) -> CachedRegions:
    """Embed the regions of every (training image, class) pair, with the masks of a stage's generator.

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
        views.append(_embed_view(run, generator, crops, with_foreground))
    # The pairs are the same in every view, in the same order.
    features = torch.stack([view.features[0] for view in views])
    foregrounds = torch.stack([view.foregrounds[0] for view in views if view.foregrounds is not None] or [features[0]])
    return CachedRegions(features, views[0].classes, views[0].ids, foregrounds if with_foreground else None)


@torch.no_grad()
def _embed_view(run: Run, generator: MaskGenerator, crops: TrainingCrops, with_foreground: bool) -> CachedRegions:
    """Embed one view of every region: features [1, P, D], in the order of the images."""
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
            if run.config.prompts.regions == "places":
                places = places_of(generator, vision_language, pixels)
                foreground, background = place_averages(places, masks, image_index, with_foreground)
            else:
                foreground, background = picture_features(vision_language, pixels, masks, image_index, with_foreground)
        embedded.append(
            (background.float().cpu(), foreground.float().cpu(), class_index.cpu(), batch["index"][image_index.cpu()])
        )
    features, foregrounds, classes, images = (torch.cat(parts) for parts in zip(*unshard(embedded), strict=True))
    ids = [crops.ids[i] for i in images.tolist()]
    return CachedRegions(features[None], classes, ids, foregrounds[None] if with_foreground else None)


def picture_features(
    model: VisionLanguageModel, pixels: Tensor, masks: Tensor, image_index: Tensor, with_foreground: bool
) -> tuple[Tensor, Tensor]:
    """Encode masked pictures, as the paper does: everything but the region is filled with the mean color.

    Args:
        model: The vision-language model.
        pixels: Images [B, 3, H, W] in [0, 1].
        masks: Soft masks [P, H, W].
        image_index: Image of each mask, [P].
        with_foreground: Encode the foregrounds too.

    Returns:
        Features of foregrounds [P, D], empty without foregrounds, and of backgrounds [P, D], L2-normalized.
    """
    foreground, background = masked_regions(pixels, masks, image_index, model.fill)
    features = model.encode_images(background)
    return (model.encode_images(foreground) if with_foreground else features[:0]), features


def places_of(generator: MaskGenerator, model: VisionLanguageModel, pixels: Tensor) -> Tensor:
    """Encode the places [B, h, w, D] of whole images [B, 3, H, W]: those that the CAMs come from, if they do.

    For other generators they are the model's, with the default attention of its kind.
    """
    places = generator.place_features(pixels)
    return model.dense_features(pixels) if places is None else places


def place_averages(places: Tensor, masks: Tensor, image_index: Tensor, with_foreground: bool) -> tuple[Tensor, Tensor]:
    """Average the features of the places in each region.

    A masked picture still shows the outline of what was taken out, and a model reads that too; a place shows only its
    surroundings.

    Args:
        places: Features of the places of whole images [B, h, w, D], of any length.
        masks: Soft masks [P, H, W].
        image_index: Image of each mask, [P].
        with_foreground: Return the foregrounds too.

    Returns:
        As :func:`picture_features`.
    """
    places = F.normalize(places, dim=-1)[image_index]  # [P, h, w, D]
    weights = F.interpolate(masks[:, None], places.shape[1:3], mode="area")[:, 0, :, :, None]  # [P, h, w, 1]

    def averaged(weights: Tensor) -> Tensor:
        return F.normalize((weights * places).sum((1, 2)), dim=-1)

    return (averaged(weights) if with_foreground else places[:0, 0, 0]), averaged(1 - weights)
