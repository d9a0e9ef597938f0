"""Photographs of every mode that users bring, and of every kind of damage."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, PngImagePlugin

from matching import assert_mentions, mentions, refusal
from sample_data import ORIENTATION, png_chunk, png_that_declares
from semples.data.images import image_size, read_image, write_image
from semples.errors import DataError

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def tagged_rows() -> npt.NDArray[np.uint8]:
    """Two rows and three columns, each pixel another color."""
    return np.array([[RED, GREEN, BLUE], [WHITE, (9, 9, 9), (255, 255, 0)]], dtype=np.uint8)


def saved(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


# Photographs, modes


def test_rgb_png_comes_back_to_the_byte(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(tagged_rows()))
    rgb = read_image(path)
    assert rgb.dtype == np.uint8
    assert rgb.flags.writeable
    np.testing.assert_array_equal(rgb, tagged_rows())
    assert image_size(path) == (2, 3)


def test_grey_has_three_equal_channels(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(np.array([[0, 7, 255]], dtype=np.uint8)))
    np.testing.assert_array_equal(read_image(path), [[[0] * 3, [7] * 3, [255] * 3]])


def test_one_bit_becomes_black_and_white(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(np.array([[0, 255]], dtype=np.uint8)).convert("1"))
    np.testing.assert_array_equal(read_image(path), [[[0] * 3, [255] * 3]])


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bit_grey_is_scaled_and_not_clipped(tmp_path: Path, name: str) -> None:
    # v / 257, rounded: 128 / 257 = 0.498 -> 0, 129 / 257 = 0.502 -> 1, 32768 / 257 = 127.502 -> 128.
    values = np.array([[0, 128, 129, 257, 32768, 65535]], dtype=np.uint16)
    path = saved(tmp_path / name, Image.fromarray(values))
    assert read_image(path)[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255]


def test_big_endian_16_bit_grey_is_scaled_too(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.tif", Image.frombytes("I;16B", (2, 1), b"\x01\x01\xff\xff"))
    assert read_image(path)[0, :, 0].tolist() == [1, 255]


def test_palette_is_looked_up(tmp_path: Path) -> None:
    image = Image.frombytes("P", (2, 1), b"\x01\x00")
    image.putpalette([*BLUE, *GREEN])
    np.testing.assert_array_equal(read_image(saved(tmp_path / "a.png", image)), [[GREEN, BLUE]])


def test_transparent_palette_entry_is_white(tmp_path: Path) -> None:
    image = Image.frombytes("P", (2, 1), b"\x01\x00")
    image.putpalette([*BLUE, *GREEN])
    np.testing.assert_array_equal(read_image(saved(tmp_path / "a.png", image, transparency=0)), [[GREEN, WHITE]])
    # One alpha for each entry: green at 51 / 255 = 0.2 over white is 0.2 * green + 0.8 * white.
    path = saved(tmp_path / "b.png", image, transparency=b"\xff\x33")
    np.testing.assert_array_equal(read_image(path), [[(204, 255, 204), BLUE]])


def test_alpha_is_composited_on_white(tmp_path: Path) -> None:
    rgba = np.array([[(255, 0, 0, 255), (0, 0, 0, 51), (0, 0, 0, 0)]], dtype=np.uint8)
    path = saved(tmp_path / "a.png", Image.fromarray(rgba))
    np.testing.assert_array_equal(read_image(path), [[RED, (204, 204, 204), WHITE]])


def test_grey_with_alpha_is_composited_on_white(tmp_path: Path) -> None:
    image = Image.merge("LA", [Image.new("L", (1, 1), 100), Image.new("L", (1, 1), 51)])
    # 0.2 * 100 + 0.8 * 255 = 224
    np.testing.assert_array_equal(read_image(saved(tmp_path / "a.png", image)), [[(224, 224, 224)]])


def test_transparent_color_key_is_white(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(np.array([[RED, BLUE]], dtype=np.uint8)), transparency=BLUE)
    np.testing.assert_array_equal(read_image(path), [[RED, WHITE]])


@pytest.mark.parametrize("name", ["a.tif", "a.jpg"])
def test_cmyk_is_converted_and_not_inverted(tmp_path: Path, name: str) -> None:
    image = Image.merge("CMYK", [Image.new("L", (16, 16), value) for value in (0, 255, 255, 0)])
    rgb = read_image(saved(tmp_path / name, image))
    assert rgb.shape == (16, 16, 3)
    assert np.abs(rgb.astype(int) - RED).max() < 8


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_animation_gives_its_first_frame(tmp_path: Path, name: str) -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in (RED, GREEN, BLUE)]
    options = {"lossless": True} if name == "a.webp" else {}
    path = saved(tmp_path / name, frames[0], save_all=True, append_images=frames[1:], **options)
    np.testing.assert_array_equal(read_image(path), np.broadcast_to(RED, (4, 4, 3)))
    assert image_size(path) == (4, 4)


def test_camera_jpeg_with_a_preview_gives_its_photograph(tmp_path: Path) -> None:
    preview = Image.new("RGB", (4, 4), BLUE)
    path = saved(
        tmp_path / "a.jpg", Image.new("RGB", (16, 8), WHITE), format="MPO", save_all=True, append_images=[preview]
    )
    np.testing.assert_array_equal(read_image(path), np.full((8, 16, 3), 255))
    assert image_size(path) == (8, 16)


@pytest.mark.parametrize("name", ["a.bmp", "a.webp", "a.tiff", "A.PNG"])
def test_other_formats_are_read(tmp_path: Path, name: str) -> None:
    options = {"lossless": True} if name == "a.webp" else {}
    path = saved(tmp_path / name, Image.fromarray(tagged_rows()), **options)
    np.testing.assert_array_equal(read_image(path), tagged_rows())


def test_content_counts_and_not_the_suffix(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", Image.fromarray(tagged_rows()), format="PNG")
    np.testing.assert_array_equal(read_image(path), tagged_rows())


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_32_bit_grey_is_refused(tmp_path: Path, dtype: type[np.generic]) -> None:
    path = saved(tmp_path / "a.tif", Image.fromarray(np.ones((2, 2), dtype=dtype)))
    assert_mentions(refusal(lambda: read_image(path)), path, 32, 8, 16)


# Photographs, EXIF orientation

# What a viewer shows for stored rows abc / def, after the definition of tag 0x0112 in the EXIF standard.
UPRIGHT = {
    1: ["abc", "def"],
    2: ["cba", "fed"],
    3: ["fed", "cba"],
    4: ["def", "abc"],
    5: ["ad", "be", "cf"],
    6: ["da", "eb", "fc"],
    7: ["fc", "eb", "da"],
    8: ["cf", "be", "ad"],
}


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif", "packed.tif"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_is_applied(tmp_path: Path, name: str, orientation: int) -> None:
    colors = dict(zip("abcdef", tagged_rows().reshape(6, 3), strict=True))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options: dict[str, Any] = {"lossless": True} if name == "a.webp" else {}
    options |= {"compression": "tiff_deflate"} if name == "packed.tif" else {}
    path = saved(tmp_path / name, Image.fromarray(tagged_rows()), exif=exif, **options)
    expected = np.array([[colors[letter] for letter in row] for row in UPRIGHT[orientation]])
    np.testing.assert_array_equal(read_image(path), expected)
    assert image_size(path) == expected.shape[:2]


@pytest.mark.parametrize(("orientation", "size"), [(1, (8, 24)), (6, (24, 8)), (9, (8, 24))])
def test_size_of_a_jpeg_is_that_of_its_pixels(tmp_path: Path, orientation: int, size: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = saved(tmp_path / "a.jpg", Image.new("RGB", (24, 8)), exif=exif)
    assert image_size(path) == read_image(path).shape[:2] == size


def test_orientation_behind_the_pixels_of_a_png_counts_for_neither(tmp_path: Path) -> None:
    # Otherwise the size would need all pixels decoded, or differ from the image's.
    content = saved(tmp_path / "a.png", Image.fromarray(tagged_rows())).read_bytes()
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    end = content.index(b"IEND") - 4
    path = tmp_path / "b.png"
    path.write_bytes(content[:end] + png_chunk(b"eXIf", exif.tobytes()[6:]) + content[end:])
    assert image_size(path) == read_image(path).shape[:2] == (2, 3)


def test_damaged_exif_does_not_matter(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", Image.new("RGB", (24, 8)), exif=b"Exif\0\0this is no EXIF block")
    assert image_size(path) == read_image(path).shape[:2] == (8, 24)


def test_size_needs_no_pixels(tmp_path: Path) -> None:
    # The header promises 7000 x 5000 pixels; there are none.
    path = tmp_path / "a.png"
    path.write_bytes(png_that_declares(5000, 7000))
    assert image_size(path) == (7000, 5000)
    assert "a.png" in refusal(lambda: read_image(path))


# Photographs, damage


def assert_refused(path: Path, reader: Callable[[Path], object], *named: object) -> None:
    assert_mentions(refusal(lambda: reader(path)), path, *named)


@pytest.mark.parametrize("reader", [read_image, image_size])
def test_missing_file(tmp_path: Path, reader: Callable[[Path], object]) -> None:
    assert_refused(tmp_path / "none.jpg", reader, "No such file or directory")


@pytest.mark.parametrize("reader", [read_image, image_size])
def test_folder_in_the_place_of_an_image(tmp_path: Path, reader: Callable[[Path], object]) -> None:
    assert_refused(tmp_path, reader)


@pytest.mark.parametrize("reader", [read_image, image_size])
def test_empty_file(tmp_path: Path, reader: Callable[[Path], object]) -> None:
    (tmp_path / "a.jpg").touch()
    assert_refused(tmp_path / "a.jpg", reader, "empty")


@pytest.mark.parametrize("reader", [read_image, image_size])
@pytest.mark.parametrize(
    "content", [b"<html>404 Not Found</html>", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"]
)
def test_file_that_is_no_photograph(tmp_path: Path, reader: Callable[[Path], object], content: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    assert_refused(tmp_path / "a.jpg", reader, "JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif", "a.bmp", "a.gif"])
def test_truncated_pixels(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = saved(tmp_path / name, Image.fromarray(noise))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert_refused(path, read_image)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, on damaged TIFF tags
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif", "a.bmp", "a.gif"])
@pytest.mark.parametrize("kept", [3, 12, 20, 30])
def test_truncated_header_is_found_by_its_size(tmp_path: Path, name: str, kept: int) -> None:
    path = saved(tmp_path / name, Image.new("RGB", (64, 64)))
    path.write_bytes(path.read_bytes()[:kept])
    assert_refused(path, read_image)
    if kept < 12:
        assert_refused(path, image_size)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, on damaged TIFF tags
def test_flipped_bytes_are_refused_or_read_but_never_crash(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a.jpg", "a.png", "a.webp", "a.tif", "a.bmp", "a.gif"):
        path = saved(tmp_path / name, Image.fromarray(tagged_rows()))
        content = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(40):
            damaged = content.copy()
            damaged[rng.integers(0, len(damaged), 3)] = rng.integers(0, 256, 3)
            path.write_bytes(damaged.tobytes())
            for reader in (read_image, image_size):
                with contextlib.suppress(DataError):
                    assert reader(path) is not None


@pytest.mark.parametrize("reader", [read_image, image_size])
def test_decompression_bomb(tmp_path: Path, reader: Callable[[Path], object]) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_that_declares(60_000, 60_000))
    assert_refused(path, reader, "large", "3600000000 pixels")


def test_decompression_bomb_in_a_text_chunk(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("comment", "x" * (80 * 2**20), zip=True)
    path = saved(tmp_path / "a.png", Image.fromarray(tagged_rows()), pnginfo=info)
    assert_refused(path, read_image)


# Writing


def test_images_are_written_by_their_suffix(tmp_path: Path) -> None:
    rgb = np.full((16, 8, 3), (200, 100, 50), dtype=np.uint8)
    for name, kind, tolerance in (("a.png", "PNG", 0), ("a.JPG", "JPEG", 3), ("a.jpeg", "JPEG", 3)):
        write_image(tmp_path / name, rgb)
        with Image.open(tmp_path / name) as image:
            assert image.format == kind
        assert np.abs(read_image(tmp_path / name).astype(int) - rgb).max() <= tolerance


@pytest.mark.parametrize(
    ("name", "rgb", "named"),
    [
        ("a.gif", np.zeros((2, 2, 3), np.uint8), ("a.gif", ".png", ".jpg", ".jpeg")),
        ("a.png", np.zeros((2, 2, 4), np.uint8), ("[H, W, 3]", "uint8 [2, 2, 4]")),
        ("a.png", np.zeros((2, 2, 3)), ("[H, W, 3]", "float64")),
    ],
)
def test_only_uint8_rgb_is_written(tmp_path: Path, name: str, rgb: npt.NDArray[Any], named: Sequence[object]) -> None:
    with pytest.raises(ValueError, match=mentions(*named)):
        write_image(tmp_path / name, rgb)
