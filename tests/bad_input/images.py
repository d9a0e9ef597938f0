"""Images that cannot be read."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from sample_data import noise, png_chunk, png_that_declares

from .case import Case
from .files import SEGMENTATION, encoded, photos, predict, run_of

FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "bmp": "BMP", "gif": "GIF", "tif": "TIFF"}
LENGTHS = 20
HALF = encoded("PNG")[:2000]
WORKER = ("--data.workers", "1")


def _cut(suffix: str, part: int) -> Case:
    """The first ``part`` twentieths of a file: header and all but a twentieth of the pixels, down to nothing."""

    def build(folder: Path) -> Sequence[str]:
        content = encoded(FORMATS[suffix])
        (folder / f"cut.{suffix}").write_bytes(content[: len(content) * part // LENGTHS])
        return predict(SEGMENTATION, f"cut.{suffix}")

    name = f"{suffix}, {part} of {LENGTHS} parts"
    return Case("truncated images", name, build, (f"cut.{suffix}",), is_slow=part % 6 != 1)


def _bytes(what: str, name: str, content: Callable[[], bytes], *says: str | int) -> Case:
    def build(folder: Path) -> Sequence[str]:
        (folder / name).write_bytes(content())
        return predict(SEGMENTATION, name)

    return Case("images", what, build, (name, *says))


def _damaged_chunk() -> bytes:
    content = bytearray(encoded("PNG"))
    content[len(content) // 2] ^= 255
    return bytes(content)


def _strange_size(width: int, height: int) -> bytes:
    return png_that_declares(width, height)


def _bomb_in_text() -> bytes:
    """A PNG whose text chunk unpacks to 64 MiB."""
    packed = zlib.compress(b"a" * 2**26)
    content = encoded("PNG")
    return content[:33] + png_chunk(b"zTXt", b"Comment\0\0" + packed) + content[33:]


def _float_tiff(folder: Path) -> Sequence[str]:
    Image.fromarray(np.ones((4, 4), np.float32)).save(folder / "float.tif")
    return predict(SEGMENTATION, "float.tif")


def _deep_tiff(folder: Path) -> Sequence[str]:
    Image.fromarray(np.ones((4, 4), np.int32)).save(folder / "deep.tif")
    return predict(SEGMENTATION, "deep.tif")


def _folder_as_image(folder: Path) -> Sequence[str]:
    (folder / "empty").mkdir()
    return predict(SEGMENTATION, "empty")


def _in_training(content: bytes, *more: str) -> Callable[[Path], Sequence[str]]:
    def build(folder: Path) -> Sequence[str]:
        root = photos(folder)
        (root / "2.png").write_bytes(content)
        return run_of(folder, root, "--until", "classify", *more)

    return build


def _all_bad(folder: Path) -> Sequence[str]:
    root = photos(folder)
    for path in root.glob("*.png"):
        path.write_bytes(b"no image")
    return run_of(folder, root, "--skip-bad-images")


def _link_to_nowhere(folder: Path) -> Sequence[str]:
    (folder / "link.png").symlink_to("nowhere.png")
    return predict(SEGMENTATION, "link.png")


def _same_names(folder: Path) -> Sequence[str]:
    for name in ("x/a/1.png", "y/a/1.png"):
        (folder / name).parent.mkdir(parents=True)
        Image.fromarray(noise()).save(folder / name)
    return predict(SEGMENTATION, "x", "y")


def _onto_itself(folder: Path) -> Sequence[str]:
    Image.fromarray(noise()).save(folder / "1.png")
    return [*predict(SEGMENTATION, "1.png")[:-3], "--out", ".", "--quiet"]


def _words(what: str, words: Sequence[str], *says: str | int) -> Case:
    return Case("images", what, lambda _: words, says)


CASES = [
    *(_cut(suffix, part) for suffix in FORMATS for part in range(LENGTHS)),
    _bytes("zero bytes, jpg", "0.jpg", bytes, "empty"),
    _bytes("zero bytes, png", "0.png", bytes, "empty"),
    _bytes("one byte", "1.png", lambda: b"\x89", "JPEG", "PNG"),
    _bytes("text named jpg", "t.jpg", lambda: b"no image at all", "JPEG", "PNG"),
    _bytes("html named jpg (a failed download)", "h.jpg", lambda: b"<!doctype html><html>404</html>"),
    _bytes("pdf named png", "p.png", lambda: b"%PDF-1.7\n%%EOF"),
    _bytes("postscript named png, which Pillow would run", "e.png", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n"),
    _bytes("svg named png", "s.png", lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    _bytes("zip named png", "z.png", lambda: b"PK\x03\x04" + bytes(60)),
    _bytes("a PNG signature alone", "sig.png", lambda: b"\x89PNG\r\n\x1a\n"),
    _bytes("a JPEG marker alone", "soi.jpg", lambda: b"\xff\xd8\xff"),
    _bytes("20,000 x 20,000 declared", "big.png", lambda: _strange_size(20_000, 20_000), "large"),
    _bytes("2^31 - 1 x 2^31 - 1 declared", "big.png", lambda: _strange_size(2**31 - 1, 2**31 - 1)),
    _bytes("1 x 2^31 - 1 declared", "big.png", lambda: _strange_size(1, 2**31 - 1)),
    _bytes("12,000 x 10,000 declared", "big.png", lambda: _strange_size(12_000, 10_000)),
    _bytes("0 x 0 declared", "none.png", lambda: _strange_size(0, 0)),
    _bytes("0 x 5 declared", "none.png", lambda: _strange_size(0, 5)),
    _bytes("a bit flipped inside the pixels", "flip.png", _damaged_chunk),
    _bytes("a text chunk that unpacks to 64 MiB", "text.png", _bomb_in_text),
    _bytes("random bytes behind a GIF header", "r.gif", lambda: b"GIF89a" + bytes(range(200))),
    _bytes("random bytes behind a BMP header", "r.bmp", lambda: b"BM" + bytes(range(200))),
    _bytes("random bytes behind a TIFF header", "r.tif", lambda: b"II*\0" + bytes(range(200))),
    _bytes("random bytes behind a WebP header", "r.webp", lambda: b"RIFF\x64\0\0\0WEBPVP8 " + bytes(range(90))),
    Case("images", "float grey", _float_tiff, ("float.tif", 8, 16)),
    Case("images", "32-bit grey", _deep_tiff, ("deep.tif", 8, 16)),
    Case("images", "an empty folder", _folder_as_image, ("empty", ".bmp", ".webp")),
    Case("images", "a link to nowhere", _link_to_nowhere, ("link.png",)),
    Case("images", "one name twice", _same_names, ("x/a/1.png", "y/a/1.png")),
    Case("images", "results onto the images", _onto_itself, ("1.png",)),
    _words("no such file", predict(SEGMENTATION, "none.jpg"), "none.jpg"),
    _words("a pattern without match", predict(SEGMENTATION, "*.jpg"), "*.jpg"),
    Case("images", "zero bytes among the training images", _in_training(b""), ("2.png",)),
    Case("images", "half an image in training", _in_training(HALF), ("2.png",), is_slow=True),
    Case("images", "half an image in a worker", _in_training(HALF, *WORKER), ("2.png",), is_slow=True),
    Case("images", "all skipped", _all_bad, ("photos", "--skip-bad-images")),
]
