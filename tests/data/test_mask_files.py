"""Index masks: every kind of PNG that users bring, and what may not pass for one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from matching import assert_mentions, mentions, refusal
from semples.data.catalogues import voc_palette
from semples.data.images import image_size, indices_from_voc_colors, read_image, read_mask, write_mask
from semples.errors import RunError


def saved(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


def mask_of(*rows: list[int]) -> npt.NDArray[np.uint8]:
    return np.array(rows, dtype=np.uint8)


def test_mask_comes_back_with_its_palette(tmp_path: Path) -> None:
    mask = mask_of([0, 1, 20], [255, 20, 0])
    path = tmp_path / "new" / "a.png"
    write_mask(path, mask)
    read = read_mask(path, (2, 3), 20)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, mask)
    with Image.open(path) as image:
        assert (image.mode, image.getpalette()) == ("P", voc_palette())
    assert [other.name for other in path.parent.iterdir()] == ["a.png"]


def test_transposed_mask_is_written_in_the_right_order(tmp_path: Path) -> None:
    mask = mask_of([0, 1, 2], [3, 4, 5]).T
    write_mask(tmp_path / "a.png", mask)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png", (3, 2), 5), [[0, 3], [1, 4], [2, 5]])


def test_one_pixel_mask_of_ignore(tmp_path: Path) -> None:
    write_mask(tmp_path / "a.png", mask_of([255]))
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png", (1, 1), 1), [[255]])


def test_grey_mask_is_taken_as_indices(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(mask_of([0, 3, 255])))
    np.testing.assert_array_equal(read_mask(path, None, 3), [[0, 3, 255]])


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_palette_mask_of_fewer_bits_keeps_its_indices(tmp_path: Path, bits: int) -> None:
    image = Image.frombytes("P", (2, 1), b"\x01\x00")
    image.putpalette([0, 0, 0, 128, 0, 0])
    path = saved(tmp_path / "a.png", image, bits=bits)
    np.testing.assert_array_equal(read_mask(path, (1, 2), 1), [[1, 0]])


def test_palette_has_no_say(tmp_path: Path) -> None:
    image = Image.frombytes("P", (2, 1), b"\x02\x01")
    image.putpalette([9, 9, 9] * 256)
    np.testing.assert_array_equal(read_mask(saved(tmp_path / "a.png", image), (1, 2), 2), [[2, 1]])


def test_real_masks_are_read(shared_data: Path) -> None:
    root = shared_data / "data/voc2012-animals"
    mask = read_mask(root / "SegmentationClassAug/2007_000063.png", image_size(root / "JPEGImages/2007_000063.jpg"), 20)
    assert set(np.unique(mask)) == {0, 9, 12, 255}  # its tags are chair (9) and dog (12)


def test_values_are_mapped_before_they_are_checked(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(mask_of([0, 90, 255, 1])))
    np.testing.assert_array_equal(read_mask(path, (1, 4), 2, {90: 2, 255: 1, 1: 255}), [[0, 2, 1, 255]])


def test_values_above_the_classes_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(mask_of([0, 2, 3, 254, 255])))
    text = refusal(lambda: read_mask(path, (1, 5), 2))
    assert_mentions(text, path, "3, 254", 0, 1, 2, 255)


def test_wrong_size_names_both(tmp_path: Path) -> None:
    write_mask(tmp_path / "a.png", mask_of([0, 1, 2]))
    text = refusal(lambda: read_mask(tmp_path / "a.png", (3, 1), 2))
    assert_mentions(text, "a.png", "1 x 3", "3 x 1")


def test_rgb_mask_in_voc_colors_says_how_to_convert(tmp_path: Path) -> None:
    mask = mask_of([0, 1, 20, 255])
    write_mask(tmp_path / "a.png", mask)
    with Image.open(tmp_path / "a.png") as image:
        path = saved(tmp_path / "rgb.png", image.convert("RGB"))
    text = refusal(lambda: read_mask(path, (1, 4), 20))
    assert_mentions(text, path, "RGB", "VOC", "palette")
    # The advice works.
    assert "write_mask(path, indices_from_voc_colors(read_image(path)))" in text
    write_mask(path, indices_from_voc_colors(read_image(path)))
    np.testing.assert_array_equal(read_mask(path, (1, 4), 20), mask)


@pytest.mark.parametrize("mode", ["RGB", "1", "LA", "RGBA"])
def test_other_modes_are_no_masks(tmp_path: Path, mode: str) -> None:
    path = saved(tmp_path / "a.png", Image.new("RGB", (3, 2), (1, 2, 3)).convert(mode))
    assert_mentions(refusal(lambda: read_mask(path, None, 9)), path, mode, "palette")


def test_colors_of_no_palette_are_no_indices() -> None:
    with pytest.raises(ValueError, match="VOC palette"):
        indices_from_voc_colors(np.array([[(1, 2, 3)]], dtype=np.uint8))
    with pytest.raises(ValueError, match="VOC palette"):
        indices_from_voc_colors(np.array([[(255, 255, 255)]], dtype=np.uint8))


def test_all_voc_colors_are_indices() -> None:
    colors = np.array(voc_palette(), dtype=np.uint8).reshape(16, 16, 3)
    np.testing.assert_array_equal(indices_from_voc_colors(colors), np.arange(256).reshape(16, 16))


def test_lossy_or_missing_masks_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", Image.fromarray(mask_of([0, 1])))
    assert_mentions(refusal(lambda: read_mask(path, None, 1)), path, "PNG")
    assert_mentions(refusal(lambda: read_mask(tmp_path / "none.png", None, 1)), tmp_path / "none.png")


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mask(tmp_path / "a.png", mask_of([1]))

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(RunError, match="disk full"):
        write_mask(tmp_path / "a.png", mask_of([0]))
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png", (1, 1), 1), [[1]])


@pytest.mark.parametrize("bad", [np.zeros((2, 2)), np.zeros((1, 2, 2), np.uint8)])
def test_only_uint8_masks_are_written(tmp_path: Path, bad: npt.NDArray[Any]) -> None:
    with pytest.raises(ValueError, match=mentions("uint8", "[H, W]")):
        write_mask(tmp_path / "a.png", bad)
