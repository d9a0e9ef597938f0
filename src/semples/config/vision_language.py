"""The frozen vision-language model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from semples.config.checks import positive
from semples.errors import ConfigError


@dataclass(frozen=True)
class VisionLanguageConfig:
    """The frozen vision-language model."""

    model: str = "bundled"
    """A CLIP, SigLIP or ALIGN checkpoint: hub name, local folder, or "bundled" (knows the built-in scenes only)."""
    score: Literal["auto", "cosine", "sigmoid"] = "auto"
    """Match score of two features; auto: sigmoid for SigLIP, else cosine."""
    template: str = "a photo of {}."
    """Text around a class name and around learned prompts."""
    image_size: int | None = None
    """Side in pixels that images are resized to for it; positions are interpolated. null: the checkpoint's own."""

    def __post_init__(self) -> None:
        if self.image_size is not None:
            positive(self, "vision_language", "image_size")
        if self.template.count("{}") != 1:
            raise ConfigError(f'vision_language.template is "{self.template}", expected exactly one {{}}')
