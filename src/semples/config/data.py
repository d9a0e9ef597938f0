"""The source of images and tags; each reader adds its own settings in a subclass, next to its code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from semples.config.checks import not_negative
from semples.errors import ConfigError


@dataclass(frozen=True)
class DataConfig:
    """The source of images and tags."""

    reader: str = "scenes"
    """Reader of the data set: "scenes" (built-in, synthetic), "voc", "coco", "folder" (your own images), or the import
    path of your own reader."""
    root: str | None = None
    """Folder of the data set; scenes are drawn into it. null: scenes are drawn inside the run directory; other readers
    need a folder."""
    prompt_names: dict[str, str | list[str]] = field(default_factory=dict)
    """Class name -> phrase for the vision-language model, or a list of phrases whose text features are averaged, for
    classes that it knows better by other words. They replace the built-in phrases of readers voc, coco and folder."""
    background_words: dict[str, str | list[str]] = field(default_factory=dict)
    """Class name -> backgrounds that come with the class. Trained generators learn in stage 3 to exclude them, beside
    the learned prompt. For generators clip and dense they join mask_generator.background_words; as that list is common
    to all classes, so are they."""
    cache_mb: int = 1024
    """Memory for decoded images in megabytes, 0 or more. With workers, images are decoded every time instead."""
    workers: int = 0
    """Number of processes that decode images besides the training process, 0 or more."""
    skip_bad_images: bool = False
    """Whether to decode every image at the start and skip those that cannot be read (--skip-bad-images)."""

    is_synthetic: ClassVar[bool] = False
    """Whether the images are the built-in scenes: then model "bundled" is the one trained on them, else the one for
    photographs."""

    def __post_init__(self) -> None:
        not_negative(self, "data", "workers", "cache_mb")
        if not self.is_synthetic and not self.root:
            raise ConfigError(f"data.root: not set; give the folder of your images (reader {self.reader})")

    @classmethod
    def recognizes(cls, folder: Path) -> bool:
        """Return whether a folder has the layout that this reader expects."""
        del folder
        return False

    def read(self, default_root: Path, seed: int, size_of: Callable[[Path], tuple[int, int] | None]) -> Any:
        """Read the data set.

        Args:
            default_root: Folder for a data set that the reader creates, where ``root`` is None.
            seed: Seed of random choices, such as which images are held out.
            size_of: Returns (height, width) of an image, or None for one to skip.

        Returns:
            A :class:`semples.records.Dataset`.

        Raises:
            DataError: A file is missing, unreadable or contradicts another.
        """
        raise NotImplementedError
