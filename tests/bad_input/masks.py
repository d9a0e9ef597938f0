"""Masks that do not fit their images or classes, through ``semples evaluate``, and in a run's evaluate stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from sample_data import SIZE, png_that_declares

from .case import Case


def _evaluate(folder: Path, classes: str = "boat,train") -> list[str]:
    return ["evaluate", str(folder / "predicted"), str(folder / "truth"), "--classes", classes]


def _masks(folder: Path) -> tuple[Path, Path]:
    mask = Image.fromarray(np.tile(np.arange(3, dtype=np.uint8), (SIZE[0], SIZE[1] // 3)))
    paths = folder / "predicted" / "0.png", folder / "truth" / "0.png"
    for path in paths:
        path.parent.mkdir()
        mask.save(path)
    return paths


def _mask(what: str, spoil: Callable[[Path], object], *says: str | int, of: int = 0) -> Case:
    """A prediction (0) or truth (1) that is spoiled."""

    def build(folder: Path) -> Sequence[str]:
        spoil(_masks(folder)[of])
        return _evaluate(folder)

    return Case("masks", what, build, ("0.png", *says))


def _image(image: Image.Image) -> Callable[[Path], object]:
    return lambda path: image.save(path, format="PNG")


def _content(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _as(format: str) -> Callable[[Path], object]:
    return lambda path: Image.open(path).convert("L").save(path, format=format)


def _filled(value: int, size: tuple[int, int] = SIZE) -> Image.Image:
    return Image.fromarray(np.full(size, value, np.uint8))


def _classes(what: str, classes: str, *says: str | int) -> Case:
    def build(folder: Path) -> Sequence[str]:
        _masks(folder)
        return _evaluate(folder, classes)

    return Case("masks", what, build, says)


def _no_folder(folder: Path) -> Sequence[str]:
    return _evaluate(folder)


def _no_masks(folder: Path) -> Sequence[str]:
    (folder / "truth").mkdir()
    (folder / "predicted").mkdir()
    return _evaluate(folder)


def _class_file(content: bytes) -> Callable[[Path], Sequence[str]]:
    def build(folder: Path) -> Sequence[str]:
        _masks(folder)
        (folder / "names.txt").write_bytes(content)
        return _evaluate(folder, "names.txt")

    return build


CASES = [
    _mask("smaller", _image(_filled(0, (8, 8))), "8 x 8", "40 x 48"),
    _mask("lying down", _image(_filled(0, SIZE[::-1])), "48 x 40", "40 x 48"),
    _mask("1 x 1", _image(_filled(0, (1, 1))), "1 x 1", "40 x 48"),
    _mask("value 3 of 2 classes", _image(_filled(3)), 3, 255),
    _mask("value 254", _image(_filled(254)), 254, 255),
    _mask("grey levels", _image(Image.fromarray(np.arange(240, dtype=np.uint8)[None])), 3, 4, 239, of=1),
    _mask("RGB", _image(Image.new("RGB", SIZE[::-1], (1, 2, 3))), "RGB", "palette"),
    _mask(
        "RGB in VOC's colours",
        _image(Image.new("RGB", SIZE[::-1], (128, 0, 0))),
        "RGB",
        "VOC",
        "palette",
        "indices_from_voc_colors",
    ),
    _mask("RGBA", _image(Image.new("RGBA", SIZE[::-1], (1, 2, 3, 4))), "RGBA", "palette"),
    _mask("grey with alpha", _image(Image.new("LA", SIZE[::-1])), "LA", "palette"),
    _mask("16 bits", _image(Image.fromarray(np.zeros(SIZE, np.uint16))), "I;16", "palette"),
    _mask("one bit", _image(Image.new("1", SIZE[::-1])), 1, "palette"),
    _mask("a JPEG named png", _as("JPEG"), "PNG"),
    _mask("a GIF named png", _as("GIF"), "PNG"),
    _mask("zero bytes", _content(b""), "empty"),
    _mask("text", _content(b"mask"), "PNG"),
    _mask("half a file", _cut),
    _mask("20,000 x 20,000 declared", _content(png_that_declares(20_000, 20_000, 0)), "large"),
    _mask("0 x 0 declared", _content(png_that_declares(0, 0, 0))),
    _mask("half a truth", _cut, "truth/0.png", of=1),
    _mask("zero bytes of truth", _content(b""), "truth/0.png", of=1),
    _mask("RGB truth", _image(Image.new("RGB", SIZE[::-1])), "truth/0.png", "palette", of=1),
    _mask("no prediction", Path.unlink, "predicted/0.png", "truth/0.png"),
    Case("masks", "no folder", _no_folder, ("truth", "PNG")),
    Case("masks", "empty folders", _no_masks, ("truth", "PNG")),
    _classes("a class too few", "boat", "truth/0.png", 2, 255),
    _classes("a class twice", "boat,boat", "--classes", "boat,boat"),
    _classes("an empty class", "boat,,train", "--classes", "boat,,train"),
    _classes("background first", "background,boat", "--classes", "background"),
    _classes("0 classes", "0", "--classes", 0, 254),
    _classes("300 classes", "300", "--classes", 300, 1, 254),
    _classes("a file that is not there", "none.txt", "--classes", "none.txt"),
    Case("masks", "names in Latin-1", _class_file("é\n".encode("latin-1")), ("--classes", "names.txt")),
    Case("masks", "names twice in a file", _class_file(b"boat\nboat\n"), ("--classes", "names.txt")),
]
