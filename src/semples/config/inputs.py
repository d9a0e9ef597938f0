"""Where images and tags come from, and the frozen vision-language model."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from semples.config.checks import fraction, not_negative, positive
from semples.errors import ConfigError

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

READERS = ("scenes", "voc", "coco", "folder")
"""Readers by name."""


@dataclass(frozen=True)
class DataConfig:
    """Where images and tags come from."""

    reader: str = "scenes"
    """scenes (built-in, synthetic), voc, coco, folder (your own images), or the import path of a reader of your own."""
    root: str | None = None
    """Folder of the data set. Scenes are drawn into it; their default is inside the run directory."""
    train_split: str = "train"
    """voc: name of ImageSets/Segmentation/NAME.txt to train on."""
    val_split: str | None = "val"
    """voc: name of the held-out split, or null for none."""
    labels: Literal["auto", "tags", "xml", "npy"] = "auto"
    """voc: where image-level labels are read from; auto takes the first there is. coco: auto (annotations) or npy."""
    train_annotations: str = "auto"
    """coco: JSON file of the training instances, relative to the root; auto finds the usual names."""
    val_annotations: str | None = "auto"
    """coco: that of the held-out images, or null for none; auto: beside the training one, "val" for "train"."""
    train_images: str = "auto"
    """coco: folder of the training images, relative to the root; auto: train2017 and the like, or images."""
    val_images: str = "auto"
    """coco: folder of the held-out images."""
    classes: list[str] | None = None
    """folder: class names in mask order; null takes all tags, sorted."""
    prompt_names: dict[str, str] = field(default_factory=dict)
    """Class name -> the word to give the vision-language model, where it knows a better one."""
    val_fraction: float = 0.1
    """folder: share of the images held out, chosen by a stable hash of their names."""
    pairs: dict[str, str] = field(default_factory=lambda: dict(DEFAULT_PAIRS))
    """scenes: object -> the context it comes with; the objects named are the classes."""
    bias: float = 0.9
    """scenes: probability that an object stands in its own context."""
    image_size: int = 96
    """scenes: side of the images in pixels."""
    train_size: int = 400
    """scenes: number of training images."""
    val_size: int = 100
    """scenes: number of held-out images."""
    cache_mb: int = 1024
    """Decoded images are kept in memory up to this many megabytes; with workers, images are decoded anew instead."""
    workers: int = 0
    """Processes that decode images beside the training process."""
    skip_bad_images: bool = False
    """Read every image once at the start, and leave out those that cannot be read (--skip-bad-images)."""

    def __post_init__(self) -> None:
        if self.reader not in READERS and not re.fullmatch(r"(\w+\.)+\w+", self.reader):
            known = ", ".join(f'"{name}"' for name in READERS)
            raise ConfigError(
                f'data.reader is "{self.reader}", expected one of {known}, or an import path such as "my_reader.read"'
            )
        fraction(self, "data", "bias", "val_fraction")
        positive(self, "data", "image_size", "train_size", "val_size")
        not_negative(self, "data", "workers", "cache_mb")
        if self.reader != "scenes" and not self.root:
            raise ConfigError(f"data.root is not set: give the folder of your images (reader {self.reader})")


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
    prompt_stop: Literal["word", "bare"] = "word"
    """End of the template after a learned prompt: the tokens of ordinary text, or (CLIP only, as published) the bare
    pieces that stand inside of words."""
    normalization: Literal["own", "imagenet"] = "own"
    """Mean and deviation of its images: its own, or ImageNet's as published."""

    def __post_init__(self) -> None:
        if self.image_size is not None:
            positive(self, "vision_language", "image_size")
        if self.template.count("{}") != 1:
            raise ConfigError(f'vision_language.template is "{self.template}", expected exactly one {{}}')
