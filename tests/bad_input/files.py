"""Good input to spoil: photographs, a tagged folder, and the words of the commands that read them."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zlib
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .case import OUT, SENTINEL

SIZE = (40, 48)
"""Height and width of the photographs."""

CLASSES = ("boat", "train")
BUNDLED = Path(str(resources.files("semples"))) / "assets"
SEGMENTATION = BUNDLED / "segmentation"

FAST = (
    *("--data.val_fraction", "0", "--device", "cpu", "--cams.scales", "[1.0]", "--quiet"),
    *("--mask_generator.image_size", "32", "--segment.image_size", "32"),
    *("--classify.epochs", "1", "--match.epochs", "1", "--prompts.epochs", "1", "--refine.epochs", "1"),
    *("--segment.epochs", "1", "--segment.supervised_bound", "false", "--report.images", "2"),
)


def noise(size: tuple[int, int] = SIZE, seed: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Random RGB [H, W, 3], so that every byte of a file counts."""
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


@cache
def encoded(format: str, mode: str = "RGB") -> bytes:
    """A photograph of noise as a file."""
    buffer = io.BytesIO()
    Image.fromarray(noise()).convert(mode).save(buffer, format=format)
    return buffer.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_that_declares(width: int, height: int, colour: int = 2) -> bytes:
    """A PNG file of a few bytes that says it is large."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(b"\0")) + png_chunk(b"IEND", b"")


class Payload:
    """What a pickle does that runs code: it makes a folder in the working directory."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (SENTINEL,)


def payload() -> bytes:
    """A pickle that runs code when it is loaded."""
    return pickle.dumps({"model": Payload()})


def photos(folder: Path, name: str = "photos") -> Path:
    """Four photographs with tags and masks."""
    root = folder / name
    (root / "masks").mkdir(parents=True)
    lines = ["image,tags"]
    for index in range(4):
        Image.fromarray(noise(seed=index)).save(root / f"{index}.png")
        mask = np.zeros(SIZE, np.uint8)
        mask[10:20, 10:20] = index % 2 + 1
        Image.fromarray(mask).save(root / "masks" / f"{index}.png")
        lines.append(f"{index}.png,{CLASSES[index % 2]}")
    (root / "tags.csv").write_text("\n".join(lines) + "\n")
    return root


def config(folder: Path, text: str | bytes) -> list[str]:
    """Words of a run with a config of this text."""
    content = text.encode() if isinstance(text, str) else text
    (folder / "own.yaml").write_bytes(content)
    return ["run", "--config", "own.yaml", "--out", OUT, "--quiet"]


def run_of(folder: Path, root: Path, *more: str) -> list[str]:
    """Words of a small run on a tagged folder."""
    (folder / "own.yaml").write_text(f"data: {{reader: folder, root: {root}, classes: [boat, train]}}\n")
    return ["run", "--config", "own.yaml", "--out", OUT, *FAST, *more]


def predict(model: Path | str, *images: Path | str, more: Sequence[str] = ()) -> list[str]:
    """Words of a prediction."""
    return ["predict", str(model), *map(str, images), "--out", OUT, "--quiet", *more]
