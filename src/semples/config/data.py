"""Where images and tags come from; each reader adds its own settings in a subclass, next to its code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from semples.config.checks import not_negative
from semples.errors import ConfigError


@dataclass(frozen=True)
class DataConfig:
    """Where images and tags come from."""

    reader: str = "scenes"
    """scenes (built-in, synthetic), voc, coco, folder (your own images), or the import path of a reader of your own."""
    root: str | None = None
    """Folder of the data set. Scenes are drawn into it; their default is inside the run directory."""
    prompt_names: dict[str, str] = field(default_factory=dict)
    """Class name -> the word to give the vision-language model, where it knows a better one."""
    cache_mb: int = 1024
    """Decoded images are kept in memory up to this many megabytes; with workers, images are decoded anew instead."""
    workers: int = 0
    """Processes that decode images beside the training process."""
    skip_bad_images: bool = False
    """Read every image once at the start, and skip those that cannot be read (--skip-bad-images)."""

    is_synthetic: ClassVar[bool] = False
    """Whether the images are the built-in scenes, which the bundled models know."""

    def __post_init__(self) -> None:
        not_negative(self, "data", "workers", "cache_mb")
        if not self.is_synthetic and not self.root:
            raise ConfigError(f"data.root is not set: give the folder of your images (reader {self.reader})")

    @classmethod
    def recognizes(cls, folder: Path) -> bool:
        """Return whether a folder of the user's has this reader's layout."""
        del folder
        return False

    def read(self, default_root: Path, seed: int, size_of: Callable[[Path], tuple[int, int] | None]) -> Any:
        """Read the data set.

        Args:
            default_root: Folder for a data set that is made and has no root.
            seed: Seed of random choices, such as which images are held out.
            size_of: Returns (height, width) of an image, or None for one to skip.

        Returns:
            A :class:`semples.records.Dataset`.

        Raises:
            DataError: Something is missing, unreadable or contradictory.
        """
        raise NotImplementedError
