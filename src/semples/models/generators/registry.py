"""Mask generators by name."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semples.errors import ConfigError
from semples.models import backbones
from semples.models.backbones import load_backbone
from semples.models.generators.base import MaskGenerator
from semples.models.generators.cam import CamGenerator

if TYPE_CHECKING:
    from semples.models.generators.weaktr.generator import WeakTrOptions

BY_NAME = {
    "cam": "semples.models.generators.cam.CamGenerator",
    "weaktr": "semples.models.generators.weaktr.generator.WeakTrGenerator",
    "clip": "semples.models.generators.clip.ClipGenerator",
}
"""Name in the config -> import path."""

BUNDLED_VIT = "vit"
"""Asset that backbone "bundled" stands for where a vision transformer is needed."""


def bundled_backbone(name: str) -> str:
    """Asset that backbone "bundled" stands for with a mask generator of that name."""
    return BUNDLED_VIT if name == "weaktr" else backbones.BUNDLED


def build_mask_generator(
    name: str,
    num_classes: int,
    *,
    backbone: str,
    output_stride: int | None,
    kernel_size: int,
    frozen: bool = False,
    weaktr: WeakTrOptions | None = None,
    checkpoint: Path | str | None = None,
) -> MaskGenerator:
    """Build a mask generator by name ("clip" is built from the vision-language model instead, by the run).

    Args:
        name: "cam", "weaktr", or the import path ``package.module.Class`` of a class of your own. It is called with the
            keywords num_classes, backbone, output_stride and kernel_size and has to subclass :class:`MaskGenerator`.
        num_classes: K.
        backbone: Checkpoint of the pretrained backbone.
        output_stride: Input pixels per CAM pixel, or None for the backbone's own; "weaktr" has its patch size.
        kernel_size: Side of the CAM head's convolution.
        frozen: The backbone of "cam" will never be trained, which makes it faster.
        weaktr: Choices of "weaktr" beside those; its own kernel_size is not read.
        checkpoint: WeakTr checkpoint to start from, for "weaktr" only.

    Raises:
        ConfigError: No such generator.
        ModelError: The backbone or the checkpoint cannot be loaded.
    """
    if name == "weaktr":
        return _build_weaktr(num_classes, backbone, kernel_size, weaktr, checkpoint)
    if name == "cam":
        return CamGenerator(load_backbone(backbone, output_stride, frozen), num_classes, kernel_size)
    own: Any = mask_generator_class(name)
    module: MaskGenerator = own(
        num_classes=num_classes, backbone=backbone, output_stride=output_stride, kernel_size=kernel_size
    )
    return module


def mask_generator_class(name: str) -> type[MaskGenerator]:
    """Return the class of a mask generator, by our name or by import path.

    Raises:
        ConfigError: No such class, or it is none of a mask generator.
    """
    found: Any = _import_class(BY_NAME.get(name, name))
    if not isinstance(found, type) or not issubclass(found, MaskGenerator):
        raise ConfigError(f"mask_generator.name: {name} is no subclass of MaskGenerator: give one (docs/extending.md)")
    return found


def _build_weaktr(
    num_classes: int,
    backbone: str,
    kernel_size: int,
    options: WeakTrOptions | None,
    checkpoint: Path | str | None,
) -> MaskGenerator:
    from semples.models.generators.weaktr.generator import WeakTrOptions, load_weaktr  # it builds on this file
    from semples.models.generators.weaktr.weights import load_weaktr_checkpoint

    generator = load_weaktr(backbone, num_classes, replace(options or WeakTrOptions(), kernel_size=kernel_size))
    if checkpoint is not None:
        load_weaktr_checkpoint(checkpoint, generator)
    return generator


def _import_class(path: str) -> Any:
    module_name, _, class_name = path.rpartition(".")
    if not module_name:
        raise ConfigError(
            f'mask_generator.name is "{path}", expected {", ".join(map(repr, BY_NAME))} '
            "or an import path such as my_package.MyGenerator"
        )
    try:
        return getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"mask_generator.name: cannot import {path} ({error}): correct the name or PYTHONPATH"
        ) from error
