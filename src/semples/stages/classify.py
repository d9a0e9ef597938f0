"""Stage 0: train the mask generator to classify images."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from semples.config import Config
from semples.data.crops import ImageCache, TrainingCrops, build_augmentation, training_loader
from semples.method.losses import classification_loss
from semples.models.generators.base import MaskGenerator
from semples.runtime.cam_files import write_cams
from semples.runtime.context import Run, training_options
from semples.training.devices import set_seed
from semples.training.loop import StepResult, fit


def classify(run: Run) -> None:
    """Stage 0: train the generator as a classifier, if it has anything to train; write it and its CAMs.

    Raises:
        ConfigError: The vision-language model cannot read the user's phrases of classes.
    """
    if run.config.guidance.enabled and (run.config.data.prompt_names or run.config.vision_language.templates):
        run.models.require_class_texts()  # stage 1 would find it after a long training
    generator = train_classifier(run) if run.models.trains_generator else run.models.build_generator()
    run.models.save_generator("classify", generator)
    write_cams(run, "classify", generator)


def train_classifier(run: Run) -> MaskGenerator:
    """Train a new mask generator with the multi-label soft margin loss on every logit head."""
    settings = run.config.classify
    set_seed(run.config.seed)
    generator = run.models.build_generator(with_checkpoint=True)
    backbone_rate = settings.backbone_rate if run.config.mask_generator.trains_backbone else 0.0
    if backbone_rate == 0:
        generator.freeze_trunk()
    fit(
        "classify",
        generator,
        _classification_step,
        [(generator.trunk_parameters(), backbone_rate), (generator.head_parameters(), 1.0)],
        training_loader(
            training_crops(run.config, run.train_images, run.num_classes, run.config.augmentation.classify),
            settings.batch_size,
            run.config.seed,
            run.config.data.workers,
        ),
        training_options(settings),
        run.accelerator,
        run.log,
        run.checkpoint("classify"),
    )
    return generator


def training_crops(config: Config, images: ImageCache, num_classes: int, augmented: bool = True) -> TrainingCrops:
    """Return random crops of the training images, as stages 0, 1 and 3 see them.

    Args:
        config: Settings of the run.
        images: The training images.
        num_classes: K.
        augmented: Whether the section ``augmentation`` of the settings applies.
    """
    settings, augmentation = config.mask_generator, config.augmentation
    return TrainingCrops(
        images,
        num_classes,
        settings.image_size,
        crop_scale=settings.crop_scale,
        augmentation=build_augmentation(
            augmentation.randaugment_operations,
            augmentation.randaugment_magnitude,
            augmentation.color_jitter,
            augmentation.random_erasing,
        )
        if augmented
        else None,
        seed=config.seed,
    )


def _classification_step(generator: torch.nn.Module, batch: Mapping[str, Tensor]) -> StepResult:
    output = generator(batch["pixels"], batch["labels"])
    return StepResult(classification_loss(output.logits, batch["labels"]))
