"""Built-in parts that settings choose by name: one line each.

Parts are listed by import path and imported on first use, so that reading settings never imports torch.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from semples.config.plugins import import_object
from semples.errors import ConfigError, did_you_mean

READERS = {
    "scenes": "semples.data.scenes.settings.ScenesConfig",
    "voc": "semples.data.voc.VocConfig",
    "coco": "semples.data.coco.CocoConfig",
    "folder": "semples.data.folder.FolderConfig",
}
"""Reader -> its settings, a :class:`semples.config.data.DataConfig`."""

GENERATORS = {
    "cam": "semples.models.generators.cam.settings.CamConfig",
    "weaktr": "semples.models.generators.weaktr.settings.WeakTrConfig",
    "clip": "semples.models.generators.clip.settings.ClipConfig",
    "dense": "semples.models.generators.dense.settings.DenseConfig",
}
"""Mask generator -> its settings, a :class:`semples.config.mask_generator.MaskGeneratorConfig`."""

REFINEMENTS = {
    "pixel_adaptive": "semples.method.refinement.pixel_adaptive.settings.PixelAdaptiveConfig",
    "dense_crf": "semples.method.refinement.dense_crf.settings.DenseCrfConfig",
}
"""Refinement, which is also the name of its section -> its settings, a
:class:`semples.config.refinement.RefinementConfig`."""


@dataclass(frozen=True)
class CriterionEntry:
    """A threshold criterion.

    Attributes:
        path: Import path of the class, a :class:`semples.inference.thresholds.base.Criterion`.
        needs_prompts: Whether the criterion needs learned prompts, and thus guidance.
        needs_vision_language: Whether it is built with the vision-language model.
    """

    path: str
    needs_prompts: bool
    needs_vision_language: bool = False


CRITERIA = {
    "prompts": CriterionEntry("semples.inference.thresholds.by_prompts.PromptsCriterion", needs_prompts=True),
    "prompts_image": CriterionEntry(
        "semples.inference.thresholds.by_prompts.ImagePromptsCriterion", needs_prompts=True
    ),
    "separation": CriterionEntry(
        "semples.inference.thresholds.by_separation.SeparationCriterion",
        needs_prompts=False,
        needs_vision_language=True,
    ),
    "li": CriterionEntry("semples.inference.thresholds.by_values.LiCriterion", False),
    "otsu": CriterionEntry("semples.inference.thresholds.by_values.OtsuCriterion", False),
}
"""Threshold criterion -> its class."""

GUIDED_CRITERION, PHOTO_CRITERION, UNGUIDED_CRITERION = "prompts", "separation", "li"
"""Criterion that "auto" means with guidance on built-in scenes, with guidance on other images, and without."""

_OWN_READER = "semples.data.custom.OwnReaderConfig"
_OWN_GENERATOR = "semples.models.generators.own.OwnGeneratorConfig"
_IMPORT_PATH = r"(\w+\.)+\w+"


def reader_config(name: str) -> Any:
    """Import the settings class of a reader, by name or by the import path of the user's own.

    Raises:
        ConfigError: There is no such reader.
    """
    return _chosen(name, "data.reader", READERS, _OWN_READER, "my_reader.read")


def generator_config(name: str) -> Any:
    """Import the settings class of a mask generator, by name or by the import path of the user's own.

    Raises:
        ConfigError: There is no such generator.
    """
    return _chosen(name, "mask_generator.name", GENERATORS, _OWN_GENERATOR, "my_module.MyGenerator")


def refinement_config(name: str) -> Any:
    """Import the settings class of a refinement."""
    return import_object(REFINEMENTS[name], "pseudo_masks.refinement")


def _chosen(name: str, setting: str, known: dict[str, str], own: str, example: str) -> Any:
    if name in known:
        return import_object(known[name], setting)
    if re.fullmatch(_IMPORT_PATH, name):
        return import_object(own, setting)
    raise ConfigError(
        f'{setting}: "{name}" does not exist; expected one of {_quoted(known)}, or an import path such as "{example}"'
        f"{did_you_mean(name, known)}"
    )


def _quoted(names: Collection[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
