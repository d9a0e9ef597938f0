"""Settings of the mask generator; each generator adds its own in a subclass, next to its code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from semples.config.checks import fraction, not_negative, positive
from semples.config.plugins import import_object
from semples.errors import ConfigError

BACKGROUND_WORDS = (
    "ground", "land", "grass", "tree", "building", "wall", "sky", "lake", "water", "river", "sea", "railway",
    "railroad", "helmet", "cloud", "house", "mountain", "ocean", "road", "rock", "street", "valley", "bridge",
)  # fmt: skip
"""Generic backgrounds, as in CLIP-ES (arXiv 2212.09506)."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that a generator is built from.

    Attributes:
        setting: Setting that names the checkpoint.
        name: Value of the setting.
        bundled: Purpose in :data:`semples.models.loading.BUNDLED_MODELS`; None for a single file, which does not have a
            bundled version.
    """

    setting: str
    name: str
    bundled: str | None


@dataclass(frozen=True)
class GeneratorParts:
    """Parts that a mask generator may be built from.

    Attributes:
        prompt_names: The first phrase of each of the K classes for the vision-language model.
        vision_language: Returns the vision-language model; loading it takes time.
        published: Whether to reproduce the accidents of the published code (``docs/method.md``).
        with_checkpoint: Whether to start from the checkpoint of the settings, if they name one. Not needed where the
            weights that a stage has trained are loaded next.
        phrases: Returns all phrases of each class that are in use, which may load the vision-language model; None where
            there are only the prompt names.
        background_words_of_classes: The user's own background words, of all classes (``data.background_words``).
    """

    prompt_names: tuple[str, ...]
    vision_language: Any
    published: bool = False
    with_checkpoint: bool = False
    phrases: Callable[[], Sequence[Sequence[str]]] | None = None
    background_words_of_classes: tuple[str, ...] = ()

    def class_phrases(self) -> Sequence[str] | Sequence[Sequence[str]]:
        """Return one phrase or several for each class; this may load the vision-language model."""
        return self.prompt_names if self.phrases is None else self.phrases()


@dataclass(frozen=True)
class MaskGeneratorConfig:
    """The network whose class activation maps become masks."""

    name: str = "cam"
    """"cam", "weaktr" (needs a ViT or DeiT), "clip" or "dense" (the vision-language model itself, by gradients of its
    image feature or place by place; only prompts are trained), or the import path of your own class."""
    image_size: int = 128
    """Side of the square training crops, in pixels."""
    crop_scale: float = 0.6
    """Smallest share of the image's area that a random training crop keeps, 0 to 1; 1: the whole image is resized."""
    background_words: list[str] = field(default_factory=lambda: list(BACKGROUND_WORDS))
    """Generic backgrounds, which generators clip and dense (in stage 0) and method generic of `semples compare`
    contrast with the classes, together with all words of data.background_words. Phrases of classes and words that the
    model does not know are left out. []: no backgrounds; CAMs of generator dense are then cosines with the class texts
    alone."""
    affinity_steps: int | None = None
    """Number of steps in which attention between patches spreads the CAMs, 0 or more; it has an effect on generators
    with attention only. null: the generator's own number (2 for clip, 0 for the others)."""
    affinity_threshold: float = 0.4
    """CAMs are spread only inside the bounding boxes of regions above this share of their maximum, 0 to 1."""

    generator: ClassVar[str]
    """Import path of the generator's class."""

    def __post_init__(self) -> None:
        positive(self, "mask_generator", "image_size")
        fraction(self, "mask_generator", "crop_scale", "affinity_threshold")
        if self.affinity_steps is not None:
            not_negative(self, "mask_generator", "affinity_steps")

    def generator_class(self) -> Any:
        """Import the class, a :class:`semples.models.generators.base.MaskGenerator`.

        Raises:
            ConfigError: It cannot be imported, or is not a mask generator.
        """
        return import_object(self.generator, "mask_generator.name")

    @property
    def trains_backbone(self) -> bool:
        """Whether stage 0 also trains the pretrained part."""
        return False

    def with_bundled(self, name: str) -> MaskGeneratorConfig:
        """Return these settings with "bundled" replaced by the name of the bundled model that suits the images."""
        del name
        return self

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Return the checkpoints that the generator is built from."""
        return ()

    def build(self, parts: GeneratorParts) -> Any:
        """Build the generator, with a new head.

        Raises:
            ModelError: A checkpoint cannot be loaded.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class BackboneGeneratorConfig(MaskGeneratorConfig):
    """A mask generator with a pretrained backbone."""

    backbone: str = "bundled"
    """Any transformers backbone: hub name, local folder, "bundled/scenes" (knows only the built-in scenes: the image
    encoder of their vision-language model; for weaktr, a ViT), "bundled/photos" (an ImageNet MobileNetV2; weaktr has
    none), or "bundled": the one that suits data.reader."""
    kernel_size: int = 3
    """Kernel size of the convolution that computes the CAMs; odd."""
    freeze_backbone: bool = True
    """Whether stage 0 trains only the head, as stages 1 and 3 always do."""

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "mask_generator", "kernel_size")
        if self.kernel_size % 2 == 0:
            raise ConfigError(f"mask_generator.kernel_size: {self.kernel_size} is even; expected an odd number")

    @property
    def trains_backbone(self) -> bool:
        """Whether stage 0 also trains the pretrained part."""
        return not self.freeze_backbone

    def with_bundled(self, name: str) -> MaskGeneratorConfig:
        """Return these settings with backbone "bundled" replaced."""
        return replace(self, backbone=name) if self.backbone == "bundled" else self

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Return the backbone."""
        return (Checkpoint("mask_generator.backbone", self.backbone, self.generator_class().bundled_backbone),)
