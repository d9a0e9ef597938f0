"""Settings of the frozen vision-language model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from semples.config.checks import positive
from semples.errors import ConfigError


@dataclass(frozen=True)
class VisionLanguageConfig:
    """The frozen vision-language model."""

    model: str = "bundled"
    """A CLIP, SigLIP or ALIGN checkpoint: hub name, local folder, "bundled/scenes" (knows only the built-in scenes),
    "bundled/photos" (a small model of everyday photographs), or "bundled": the one that suits data.reader."""
    score: Literal["auto", "cosine", "sigmoid"] = "auto"
    """Match score of two features. "auto": sigmoid for SigLIP, cosine for the others."""
    template: str = "a photo of {}."
    """Text around a class name or a learned prompt, which replaces {}."""
    templates: list[str] = field(default_factory=list)
    """Texts around a class name or background word, each with one {}; the features are averaged. They replace template
    there; learned prompts, and the words that describe them, keep template. Empty: template alone."""
    image_size: int | None = None
    """Side in pixels to which images are resized; position embeddings are interpolated to it. null: the checkpoint's
    own size."""

    def __post_init__(self) -> None:
        if self.image_size is not None:
            positive(self, "vision_language", "image_size")
        for setting, texts in (("template", [self.template]), ("templates", self.templates)):
            for text in texts:
                if text.count("{}") != 1:
                    raise ConfigError(f'vision_language.{setting}: "{text}" is not valid; expected exactly one {{}}')
