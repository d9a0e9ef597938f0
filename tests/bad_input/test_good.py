"""Input that is unusual and good is read right: the same pixels and tags as from the plain kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sample_data import SIZE, noise
from semples.data.folder import read_folder
from semples.data.images import image_size, read_image

from .files import photos, run_of
from .tags import GOOD

RGB = noise()
GREY = RGB[..., 0]


def _png(image: Image.Image) -> Callable[[Path], None]:
    return lambda path: image.save(path, format="PNG")


def _turned(orientation: int, transpose: Image.Transpose) -> Callable[[Path], None]:
    """A file whose stored pixels are turned, with the EXIF entry that turns them back."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return lambda path: Image.fromarray(RGB).transpose(transpose).save(path, format="PNG", exif=exif)


def _animated(format: str) -> Callable[[Path], None]:
    frames = [Image.fromarray(RGB), Image.fromarray(255 - RGB)]
    more = {"lossless": True} if format == "WEBP" else {}
    return lambda path: frames[0].save(path, format=format, save_all=True, append_images=frames[1:], **more)


def _cmyk(path: Path) -> None:
    Image.merge("CMYK", [*(Image.fromarray(255 - RGB[..., i]) for i in range(3)), Image.new("L", SIZE[::-1])]).save(
        path, format="TIFF"
    )


GREY_RGB = np.repeat(GREY[..., None], 3, axis=2)
KINDS: dict[str, tuple[Callable[[Path], None], np.ndarray]] = {
    "rgb": (_png(Image.fromarray(RGB)), RGB),
    "grey": (_png(Image.fromarray(GREY)), GREY_RGB),
    "16-bit grey": (_png(Image.fromarray(GREY.astype(np.uint16) * 257)), GREY_RGB),
    "opaque alpha": (_png(Image.fromarray(np.dstack([RGB, np.full(SIZE, 255, np.uint8)]))), RGB),
    "transparent": (_png(Image.fromarray(np.dstack([RGB, np.zeros(SIZE, np.uint8)]))), np.full_like(RGB, 255)),
    "grey palette": (_png(Image.fromarray(GREY).convert("P")), GREY_RGB),
    "CMYK without black": (_cmyk, RGB),
    "upside down": (_turned(3, Image.Transpose.ROTATE_180), RGB),
    "lying on its side": (_turned(6, Image.Transpose.ROTATE_90), RGB),
    "lying on its other side": (_turned(8, Image.Transpose.ROTATE_270), RGB),
    "mirrored": (_turned(2, Image.Transpose.FLIP_LEFT_RIGHT), RGB),
    "animated PNG": (_animated("PNG"), RGB),
    "animated WebP": (_animated("WEBP"), RGB),
    "1 x N": (_png(Image.fromarray(RGB[:1])), RGB[:1]),
    "N x 1": (_png(Image.fromarray(RGB[:, :1])), RGB[:, :1]),
    "1 x 1": (_png(Image.fromarray(RGB[:1, :1])), RGB[:1, :1]),
}


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_those_of_the_photograph_whatever_the_file_is_called(kind: str, suffix: str, tmp_path: Path) -> None:
    save, expected = KINDS[kind]
    save(tmp_path / f"photo{suffix}")
    np.testing.assert_array_equal(read_image(tmp_path / f"photo{suffix}"), expected)
    assert image_size(tmp_path / f"photo{suffix}") == expected.shape[:2]


@pytest.mark.parametrize(
    "text",
    [
        GOOD.encode("utf-8-sig"),
        GOOD.replace("\n", "\r\n").encode(),
        GOOD.replace("\n", "\r\n").encode("utf-8-sig"),
        GOOD.replace("\n", "\n\n").encode(),
        GOOD.rstrip("\n").encode(),
        GOOD.replace(",", " , ").encode(),
        GOOD.replace("0.png,boat", '"0.png","boat"').encode(),
        GOOD.replace("0.png,boat", "./0.png,boat|boat").encode(),
        GOOD.replace("image,tags", "Image,TAGS").encode(),
    ],
)
def test_tables_of_every_editor_mean_the_same(text: bytes, tmp_path: Path) -> None:
    root = photos(tmp_path)
    (root / "tags.csv").write_bytes(text)
    dataset = read_folder(root, val_fraction=0)
    assert {sample.id: sample.tags for sample in dataset.train} == {"0": (0,), "1": (1,), "2": (0,), "3": (1,)}


def test_an_animation_of_another_first_frame_is_another_image(tmp_path: Path) -> None:
    frames = [Image.fromarray(255 - RGB), Image.fromarray(RGB)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), 255 - RGB)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_images_of_one_pixel_across_go_through_the_pipeline(tmp_path: Path) -> None:
    from .case import run

    root = photos(tmp_path)
    for name, size in (("0", (1, 40)), ("1", (40, 1)), ("2", (1, 1))):
        Image.fromarray(noise(size)).save(root / f"{name}.png")
        (root / "masks" / f"{name}.png").unlink()
    status, lines = run(run_of(tmp_path, root), tmp_path)
    assert (status, lines) == (0, [])
    assert Image.open(tmp_path / "out" / "4-pseudo-masks" / "0.png").size == (40, 1)
