"""Good input to spoil: photographs, a tagged folder, and the words of the commands that read them."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sample_data import SIZE, noise, write_noise, write_tags

from .case import OUT, SENTINEL

CLASSES = ("boat", "train")
BUNDLED = Path(str(resources.files("semples"))) / "assets"
SEGMENTATION = BUNDLED / "segmentation"

FAST = (
    *("--data.val_fraction", "0", "--device", "cpu", "--cams.scales", "[1.0]", "--quiet"),
    *("--mask_generator.image_size", "32", "--segment.image_size", "32"),
    *("--classify.epochs", "1", "--match.epochs", "1", "--prompts.epochs", "1", "--refine.epochs", "1"),
    *("--segment.epochs", "1", "--segment.supervised_bound", "false", "--report.images", "2"),
)


@cache
def encoded(format: str, mode: str = "RGB") -> bytes:
    """A photograph of noise as a file."""
    buffer = io.BytesIO()
    Image.fromarray(noise()).convert(mode).save(buffer, format=format)
    return buffer.getvalue()


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
    for index in range(4):
        write_noise(root / f"{index}.png", seed=index)
        mask = np.zeros(SIZE, np.uint8)
        mask[10:20, 10:20] = index % 2 + 1
        Image.fromarray(mask).save(root / "masks" / f"{index}.png")
    write_tags(root, *(f"{index}.png,{CLASSES[index % 2]}" for index in range(4)))
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
