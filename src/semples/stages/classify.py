"""Stage 0: train the mask generator to classify images."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from semples.data.crops import TrainingCrops, build_augmentation, training_loader
from semples.method.losses import classification_loss
from semples.models.generators.base import MaskGenerator
from semples.runtime.cam_files import write_cams
from semples.runtime.context import Run, training_options
from semples.training.devices import set_seed
from semples.training.loop import StepResult, fit


def classify(run: Run) -> None:
    """Train the classifier, unless the generator has nothing to train; write it and its CAMs."""
    generator = train_classifier(run) if run.models.trains_generator else run.models.build_generator()
    run.models.save_generator("classify", generator)
    write_cams(run, "classify", generator)


def train_classifier(run: Run) -> MaskGenerator:
    """Train a new mask generator with the multi-label soft margin loss on every logit head."""
    settings = run.config.classify
    set_seed(run.config.seed)
    generator = run.models.build_generator(with_checkpoint=True)
    trunk_rate = settings.backbone_rate if run.config.mask_generator.trains_backbone else 0.0
    if trunk_rate == 0:
        generator.freeze_trunk()
    fit(
        "classify",
        generator,
        _step,
        [(generator.trunk_parameters(), trunk_rate), (generator.head_parameters(), 1.0)],
        training_loader(
            training_crops(run, run.config.augmentation.classify),
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


def training_crops(run: Run, augmented: bool = True) -> TrainingCrops:
    """Random crops of the training images, as stages 0, 1 and 3 see them.

    Args:
        run: The run.
        augmented: Whether the section ``augmentation`` of the settings applies.
    """
    settings, augmentation = run.config.mask_generator, run.config.augmentation
    return TrainingCrops(
        run.train_images,
        run.num_classes,
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
        seed=run.config.seed,
    )


def _step(generator: torch.nn.Module, batch: Mapping[str, Tensor]) -> StepResult:
    output = generator(batch["pixels"], batch["labels"])
    return StepResult(classification_loss(output.logits, batch["labels"]))
