"""Photographs and small data sets in the layouts of users, for tests; `coco_json` has that of COCO."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ORIENTATION = 0x0112
"""The EXIF tag that says how a photograph is turned upright."""


SIZE = (40, 48)
"""Height and width of photographs unless said otherwise."""


def noise(size: tuple[int, int] = SIZE, seed: int = 0) -> NDArray[np.uint8]:
    """Random RGB [H, W, 3], so that every byte of a file counts."""
    return np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)


def write_noise(path: Path, size: tuple[int, int] = SIZE, seed: int = 0) -> Path:
    """Write a photograph of noise of the given height and width."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(size, seed)).save(path)
    return path


def write_photograph(
    path: Path,
    size: tuple[int, int] = (40, 56),
    seed: int = 0,
    orientation: int = 1,
    patches: tuple[int, int] = (5, 7),
) -> Path:
    """Write a photograph of smooth patches; EXIF may turn it, and height and width are those before that."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    image = Image.fromarray(noise(patches, seed)).resize(size[::-1], Image.Resampling.BICUBIC)
    image.save(path, exif=exif)
    return path


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Return one chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_that_declares(width: int, height: int, color: int = 2) -> bytes:
    """Return a PNG file of a few bytes that says it is large."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(b"\0")) + png_chunk(b"IEND", b"")


def write_tags(root: Path, *lines: str) -> None:
    """Write ``tags.csv`` with these lines below its header."""
    (root / "tags.csv").write_text("\n".join(("image,tags", *lines)) + "\n", encoding="utf-8")


def write_class_folders(root: Path, size: tuple[int, int] = SIZE, /, **counts: int) -> Path:
    """Write a folder of so many photographs for each class."""
    for name, count in counts.items():
        for index in range(count):
            write_noise(root / name / f"{index}.png", size, seed=index)
    return root


def write_split(root: Path, split: str, text: str) -> None:
    """Write the list of a VOC split."""
    path = root / "ImageSets/Segmentation" / f"{split}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())


def write_voc(root: Path, splits: Mapping[str, Sequence[str]], size: tuple[int, int] = SIZE) -> Path:
    """Write photographs of noise in the VOC layout, each of them a cat or a dog in turn."""
    ids = dict.fromkeys(id for listed in splits.values() for id in listed)
    for split, listed in splits.items():
        write_split(root, split, "\n".join(listed))
    for number, id in enumerate(ids):
        write_noise(root / "JPEGImages" / f"{id}.jpg", size, number)
    write_tags(root, *(f"{id},{('cat', 'dog')[number % 2]}" for number, id in enumerate(ids)))
    return root
