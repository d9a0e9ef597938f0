"""Masks that do not fit their images or classes, through ``semples evaluate``, and in a run's evaluate stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from .case import Case
from .files import SIZE, png_that_declares

FIX = "make it again, or remove it"


def _evaluate(folder: Path, classes: str = "boat,train") -> list[str]:
    return ["evaluate", str(folder / "predicted"), str(folder / "truth"), "--classes", classes]


def _masks(folder: Path) -> tuple[Path, Path]:
    mask = Image.fromarray(np.tile(np.arange(3, dtype=np.uint8), (SIZE[0], SIZE[1] // 3)))
    paths = folder / "predicted" / "0.png", folder / "truth" / "0.png"
    for path in paths:
        path.parent.mkdir()
        mask.save(path)
    return paths


def _mask(what: str, spoil: Callable[[Path], object], *says: str, of: int = 0) -> Case:
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


def _classes(what: str, classes: str, *says: str) -> Case:
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


_INDEX = "expected a palette or 8-bit grey PNG"

CASES = [
    _mask("smaller", _image(_filled(0, (8, 8))), "8 x 8 pixels", "its image has 40 x 48"),
    _mask("lying down", _image(_filled(0, SIZE[::-1])), "48 x 40 pixels", "its image has 40 x 48"),
    _mask("1 x 1", _image(_filled(0, (1, 1))), "1 x 1 pixels", "its image has 40 x 48"),
    _mask("value 3 of 2 classes", _image(_filled(3)), "values 3 are no class", "correct the mask"),
    _mask("value 254", _image(_filled(254)), "values 254 are no class", "correct the mask"),
    _mask("grey levels", _image(Image.fromarray(np.arange(240, dtype=np.uint8)[None])), "no class", of=1),
    _mask("RGB", _image(Image.new("RGB", SIZE[::-1], (1, 2, 3))), "mode RGB", _INDEX),
    _mask("RGB in VOC's colours", _image(Image.new("RGB", SIZE[::-1], (128, 0, 0))), "colours of VOC", "convert it"),
    _mask("RGBA", _image(Image.new("RGBA", SIZE[::-1], (1, 2, 3, 4))), "mode RGBA", _INDEX),
    _mask("grey with alpha", _image(Image.new("LA", SIZE[::-1])), "mode LA", _INDEX),
    _mask("16 bits", _image(Image.fromarray(np.zeros(SIZE, np.uint16))), "mode I;16", _INDEX),
    _mask("one bit", _image(Image.new("1", SIZE[::-1])), "mode 1", _INDEX),
    _mask("a JPEG named png", _as("JPEG"), "no PNG image", FIX),
    _mask("a GIF named png", _as("GIF"), "no PNG image", FIX),
    _mask("zero bytes", _content(b""), "the file is empty", FIX),
    _mask("text", _content(b"mask"), "no PNG image", FIX),
    _mask("half a file", _cut, FIX),
    _mask("20,000 x 20,000 declared", _content(png_that_declares(20_000, 20_000, 0)), "too large", FIX),
    _mask("0 x 0 declared", _content(png_that_declares(0, 0, 0)), FIX),
    _mask("half a truth", _cut, "truth", FIX, of=1),
    _mask("zero bytes of truth", _content(b""), "truth", FIX, of=1),
    _mask("RGB truth", _image(Image.new("RGB", SIZE[::-1])), "truth", _INDEX, of=1),
    _mask("no prediction", Path.unlink, "is not there", "predict that image"),
    Case("masks", "no folder", _no_folder, ("truth is not there", "give a folder of PNG masks")),
    Case("masks", "empty folders", _no_masks, ("truth holds no PNG masks",)),
    _classes("a class too few", "boat", "values 2 are no class", "correct the mask or the list of classes"),
    _classes("a class twice", "boat,boat", "--classes", "expected different names"),
    _classes("an empty class", "boat,,train", "--classes", "expected different names"),
    _classes("background first", "background,boat", "--classes", "expected the object classes alone"),
    _classes("0 classes", "0", "--classes", "expected"),
    _classes("300 classes", "300", "--classes", "expected 1 to 254"),
    _classes("a file that is not there", "none.txt", "none.txt", "expected a text file of names"),
    Case("masks", "names in Latin-1", _class_file("é\n".encode("latin-1")), ("names.txt", "expected a text file")),
    Case("masks", "names twice in a file", _class_file(b"boat\nboat\n"), ("names.txt", "expected different names")),
]
