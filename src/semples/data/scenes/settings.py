"""Settings of reader ``scenes``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from semples.config.checks import fraction, positive
from semples.config.data import DataConfig
from semples.records import Dataset

DEFAULT_PAIRS = {
    "boat": "water",
    "train": "rails",
    "plane": "sky",
    "car": "road",
    "bird": "forest",
    "cat": "wood",
    "fish": "sand",
    "house": "snow",
    "ball": "grass",
    "sheep": "rocks",
}
"""Object -> context of the default scenes."""


@dataclass(frozen=True)
class ScenesConfig(DataConfig):
    """Reader scenes: the built-in synthetic benchmark."""

    pairs: dict[str, str] = field(default_factory=lambda: dict(DEFAULT_PAIRS))
    """Object -> the context it comes with; the objects named are the classes."""
    bias: float = 0.9
    """Probability that an object stands in its own context."""
    image_size: int = 96
    """Side of the images in pixels."""
    train_size: int = 400
    """Number of training images."""
    val_size: int = 100
    """Number of held-out images."""

    is_synthetic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        fraction(self, "data", "bias")
        positive(self, "data", "image_size", "train_size", "val_size")

    def read(self, default_root: Path, seed: int, size_of: Callable[[Path], tuple[int, int] | None]) -> Dataset:
        """Draw the scenes if they are not there yet; without a root they are drawn into the run directory."""
        del size_of
        from semples.data.scenes.reader import SceneSettings, read_scenes

        root = Path(self.root).expanduser() if self.root else default_root
        settings = SceneSettings(self.pairs, self.bias, self.image_size, self.train_size, self.val_size, seed)
        return read_scenes(root, settings, self.prompt_names)
