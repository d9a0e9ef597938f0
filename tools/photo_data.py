"""Photographs to train the photo model on: Flickr8k with captions, and COCO train2014 with tags."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from photo_words import COCO_CLASSES

IN_COCO_MINI = ("000000006562", "000000024585")
"""COCO photographs in the package's test data."""


@dataclass(frozen=True)
class Photo:
    """A photograph and what is known of it.

    Attributes:
        path: JPEG file.
        captions: Lower-case sentences; empty where only tags are known.
        tags: Numbers of its COCO classes; None where only captions are known.
    """

    path: Path
    captions: tuple[str, ...] = ()
    tags: frozenset[int] | None = None


def split_words(text: str) -> list[str]:
    """Split a text into lower-case words of letters and digits."""
    return re.findall(r"[a-z0-9]+", text.lower())


def read_captions(path: Path) -> dict[str, list[str]]:
    """Read the captions of each photograph.

    Args:
        path: CSV with the columns image and caption, or JSON as COCO's ``captions_*.json``.
    """
    captions: dict[str, list[str]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix == ".json":
            rows = [(str(row["image_id"]), row["caption"]) for row in json.load(file)["annotations"]]
        else:
            rows = [(row["image"], row["caption"]) for row in csv.DictReader(file)]
    for name, text in rows:
        captions.setdefault(name, []).append(text)
    return captions


def read_flickr(folder: Path) -> dict[str, list[Photo]]:
    """Read Flickr8k: lists of photographs under "train", "dev" and "test".

    Args:
        folder: With ``data/images``, ``captions.csv`` (image,caption) and the lists ``flickr8k.TestImages.txt`` and
            ``flickr8k.DevImages.txt``. Photographs in both lists are for the test; every 20th in neither joins "dev".
    """
    captions = {
        name: [" ".join(split_words(text)) for text in texts]
        for name, texts in read_captions(folder / "captions.csv").items()
    }
    held_out = {name: _names_in(folder / f"flickr8k.{name.title()}Images.txt") for name in ("test", "dev")}
    photos: dict[str, list[Photo]] = {"train": [], "dev": [], "test": []}
    for number, (name, texts) in enumerate(sorted(captions.items())):
        path = folder / "data" / "images" / name
        if path.is_file():
            rest = "dev" if number % 20 == 0 else "train"
            split = next((split for split, names in held_out.items() if name in names), rest)
            photos[split].append(Photo(path, tuple(texts)))
    return photos


def read_coco(folder: Path) -> list[Photo]:
    """Read COCO train2014: photographs in ``data/resized2014``, class numbers in ``coco_train.txt``."""
    photos = []
    for line in (folder / "coco_train.txt").read_text(encoding="utf-8").splitlines():
        name, *numbers = line.split()
        path = folder / "data" / "resized2014" / f"{name}.jpg"
        if not name.endswith(IN_COCO_MINI) and path.is_file():
            photos.append(Photo(path, tags=frozenset(int(number) for number in numbers)))
    return photos


def read_pixels(path: Path) -> NDArray[np.uint8]:
    """Decode a photograph as RGB uint8 [H, W, 3]."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def count_words(photos: Iterable[Photo]) -> dict[str, int]:
    """Count the words of all captions, the commonest first."""
    counts: dict[str, int] = {}
    for photo in photos:
        for caption in photo.captions:
            for word in caption.split():
                counts[word] = counts.get(word, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def tag_names(photo: Photo) -> list[str]:
    """List the COCO class names among a photograph's tags, in the order of the classes."""
    return [COCO_CLASSES[number] for number in sorted(photo.tags or ())]


def _names_in(path: Path) -> set[str]:
    return {line.split("\t")[0] for line in path.read_text(encoding="utf-8").splitlines()}
