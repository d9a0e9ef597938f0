"""Networks whose class activation maps (CAMs) become masks."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch.nn.functional as F
from torch import Tensor, nn

from semples.errors import ConfigError
from semples.models import backbones
from semples.models.backbones import Backbone, load_backbone

if TYPE_CHECKING:
    from semples.models.weaktr import WeakTrOptions

BY_NAME = {
    "cam": "semples.models.mask_generators.CamGenerator",
    "weaktr": "semples.models.weaktr.WeakTrGenerator",
    "clip": "semples.models.clip_generator.ClipGenerator",
}
"""Name in the config -> import path."""

BUNDLED_VIT = "vit"
"""Asset that backbone "bundled" stands for where a vision transformer is needed."""


@dataclass(frozen=True)
class MaskGeneratorOutput:
    """What a mask generator says of B images and K classes.

    Attributes:
        cams: [B, K, h, w], 0 or more, in the generator's own range.
        logits: Classification logits [B, K] by head.
        affinity: Patch-to-patch affinity [B, hw, hw], or None.
    """

    cams: Tensor
    logits: Mapping[str, Tensor]
    affinity: Tensor | None = None

    def __post_init__(self) -> None:
        batch, classes = self.cams.shape[:2]
        for name, logits in self.logits.items():
            if logits.shape != (batch, classes):
                raise ValueError(f"logits {name} have shape {tuple(logits.shape)}, expected {(batch, classes)}")


class MaskGenerator(nn.Module, ABC):
    """The contract of every mask generator, also of a user's own."""

    is_trainable: ClassVar[bool] = True
    """Whether stages 0, 1 and 3 have something to train; all but a :class:`FoundationGenerator` do."""
    affinity_steps: ClassVar[int] = 0
    """How often the output's affinity is applied to the CAMs where the config does not say."""
    divide_by_peak: bool = True
    """Whether each CAM is divided by its maximum before the eps of the soft masks, made for WeakTr's range, applies."""

    @abstractmethod
    def forward(self, pixels: Tensor, labels: Tensor | None = None) -> MaskGeneratorOutput:
        """Compute CAMs and logits of pixels [B, 3, H, W] in [0, 1]; labels [B, K] where the caller has them."""

    @abstractmethod
    def trunk_parameters(self) -> list[nn.Parameter]:
        """Pretrained parameters: trained in stage 0 at a lower rate, frozen in stages 1 and 3."""

    @abstractmethod
    def head_parameters(self) -> list[nn.Parameter]:
        """All other parameters."""

    @abstractmethod
    def freeze_trunk(self) -> None:
        """Take the pretrained part out of training for good: no gradients, no dropout."""


class FoundationGenerator(MaskGenerator):
    """A generator that is complete from the start and learns nothing but what its background looks like."""

    is_trainable: ClassVar[bool] = False

    @abstractmethod
    def replace_backgrounds(self, features: Tensor) -> None:
        """Contrast the classes with these text features [N, D] from now on; they are part of the state."""

    def trunk_parameters(self) -> list[nn.Parameter]:
        """None."""
        return []

    def head_parameters(self) -> list[nn.Parameter]:
        """None."""
        return []

    def freeze_trunk(self) -> None:
        """Do nothing: there is nothing to freeze."""


class CamGenerator(MaskGenerator):
    """A backbone and a convolution to K maps: cams = ReLU(maps), logits = their global average.

    The CAM of Zhou et al. (CVPR 2016) with the classifier moved before the pooling.

    Args:
        backbone: Features of the image.
        num_classes: K.
        kernel_size: Side of the convolution, odd.
    """

    def __init__(self, backbone: Backbone, num_classes: int, kernel_size: int = 3) -> None:
        super().__init__()
        self.backbone = backbone
        self._trunk_is_frozen = False
        self.head = nn.Conv2d(backbone.channels, num_classes, kernel_size, padding=kernel_size // 2)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(cast(Tensor, self.head.bias))

    def forward(self, pixels: Tensor, labels: Tensor | None = None) -> MaskGeneratorOutput:  # noqa: ARG002
        """Compute CAMs [B, K, h, w] and logits {"cam": [B, K]} of pixels [B, 3, H, W] in [0, 1]."""
        maps = self.head(self.backbone(pixels))
        return MaskGeneratorOutput(cams=F.relu(maps), logits={"cam": maps.mean(dim=(2, 3))})

    def train(self, mode: bool = True) -> CamGenerator:
        """Switch to training; a frozen trunk stays in evaluation mode."""
        super().train(mode)
        if self._trunk_is_frozen:
            self.backbone.eval()
        return self

    def freeze_trunk(self) -> None:
        """Train the head only: the backbone gets no gradients and stays in evaluation mode."""
        self._trunk_is_frozen = True
        self.backbone.requires_grad_(False).eval()

    def trunk_parameters(self) -> list[nn.Parameter]:
        """Parameters of the backbone."""
        return list(self.backbone.parameters())

    def head_parameters(self) -> list[nn.Parameter]:
        """Parameters of the convolution."""
        return list(self.head.parameters())


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
    from semples.models.weaktr import WeakTrOptions, load_weaktr  # it builds on this file
    from semples.models.weaktr_weights import load_weaktr_checkpoint

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
