"""Settings of a user-defined mask generator, named by its import path."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from semples.config.checks import positive
from semples.config.mask_generator import BackboneGeneratorConfig, GeneratorParts
from semples.config.plugins import checked_options, import_object
from semples.errors import ConfigError

KEYWORDS = ("num_classes", "backbone", "output_stride", "kernel_size")
"""Keyword arguments that the class always gets (``docs/extending.md``)."""


@dataclass(frozen=True)
class OwnGeneratorConfig(BackboneGeneratorConfig):
    """A user-defined mask generator."""

    output_stride: int | None = 8
    """Input pixels per CAM pixel, passed to the class. null: the backbone's own."""
    options: dict[str, Any] = field(default_factory=dict)
    """Further arguments of the constructor, by name."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.output_stride is not None:
            positive(self, "mask_generator", "output_stride")
        if self.options:
            self._checked_options()

    def generator_class(self) -> Any:
        """Import the class.

        Raises:
            ConfigError: The class cannot be imported, or is not a mask generator.
        """
        from semples.models.generators.base import MaskGenerator  # imports torch

        imported = import_object(self.name, "mask_generator.name")
        if not isinstance(imported, type) or not issubclass(imported, MaskGenerator):
            raise ConfigError(
                f'mask_generator.name: "{self.name}" is not a subclass of MaskGenerator; give one (docs/extending.md)'
            )
        return imported

    def build(self, parts: GeneratorParts) -> Any:
        """Build the generator with the keywords of :data:`KEYWORDS` and the options."""
        return self.generator_class()(
            num_classes=len(parts.prompt_names),
            backbone=self.backbone,
            output_stride=self.output_stride,
            kernel_size=self.kernel_size,
            **self._checked_options(),
        )

    def _checked_options(self) -> dict[str, Any]:
        return checked_options(self.generator_class(), self.options, self.name, "mask_generator.options", KEYWORDS)
