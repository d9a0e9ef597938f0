"""Training crops with masks and confidences: what belongs together stays together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from matching import mentions
from semples.data.crops import ImageCache, build_augmentation
from semples.data.images import read_confidence, write_confidence
from semples.data.masked_crops import MaskedCrops
from semples.errors import DataError
from semples.records import Sample


@pytest.fixture
def images(tmp_path: Path) -> ImageCache:
    """Dark on the left, bright on the right; 24 x 40."""
    image = np.zeros((24, 40, 3), np.uint8)
    image[:, 20:] = 200
    Image.fromarray(image).save(tmp_path / "a.png")
    return ImageCache([Sample("a", tmp_path / "a.png", (24, 40), (0,))])


def bright(sample: Sample) -> NDArray[np.uint8]:
    mask = np.zeros(sample.size, np.uint8)
    mask[:, 20:] = 1
    return mask


def sure_where_bright(sample: Sample) -> NDArray[np.uint8]:
    return np.where(bright(sample) == 1, 255, 51).astype(np.uint8)


def test_mask_and_confidence_follow_the_image(images: ImageCache) -> None:
    crops = MaskedCrops(images, bright, 16, (0.4, 2.0), 0, None, sure_where_bright)
    outside = 0
    for crops.epoch in range(20):
        item = crops[0]
        assert (item["weights"].dtype, item["weights"].shape) == (torch.float32, (16, 16))
        ignored = item["masks"] == 255
        outside += int(ignored.sum())
        assert item["weights"][ignored].sum() == 0
        assert item["pixels"][0][ignored].sub(128 / 255).abs().sum() == 0
        kept = item["weights"][~ignored]
        assert kept.min() >= 51 / 255 - 1e-6
        wrong = (item["weights"] > 0.6) != (item["masks"] == 1)
        assert wrong[~ignored].float().mean() < 0.13  # the border of two classes is one column, in crops of 7 and more
        bright_pixels = item["pixels"][0] > 100 / 255
        assert (bright_pixels != (item["masks"] == 1))[~ignored].float().mean() < 0.13
    assert outside > 0


def test_without_weights_there_are_none_and_the_crops_are_the_same(images: ImageCache) -> None:
    plain = MaskedCrops(images, bright, 16, (0.5, 2.0), 3)[0]
    weighted = MaskedCrops(images, bright, 16, (0.5, 2.0), 3, None, sure_where_bright)[0]
    assert set(plain) == {"pixels", "masks", "index"}
    assert set(weighted) == {"pixels", "masks", "index", "weights"}
    for name, value in plain.items():
        assert torch.equal(value, weighted[name])


def test_colour_jitter_changes_colours_and_nothing_else(images: ImageCache) -> None:
    assert build_augmentation() is None
    jitter = build_augmentation(color_jitter=0.4)
    plain = MaskedCrops(images, bright, 16, (1.0, 1.0), 3)[0]
    jittered = MaskedCrops(images, bright, 16, (1.0, 1.0), 3, jitter)[0]
    again = MaskedCrops(images, bright, 16, (1.0, 1.0), 3, jitter)[0]
    assert torch.equal(plain["masks"], jittered["masks"])
    assert not torch.equal(plain["pixels"], jittered["pixels"])
    assert torch.equal(again["pixels"], jittered["pixels"])
    assert 0 <= jittered["pixels"].min() < jittered["pixels"].max() <= 1


@pytest.mark.parametrize("size", [(1, 9), (9, 1), (1, 1)])
def test_images_of_one_pixel_width(size: tuple[int, int], tmp_path: Path) -> None:
    Image.fromarray(np.full((*size, 3), 77, np.uint8)).save(tmp_path / "a.png")
    cache = ImageCache([Sample("a", tmp_path / "a.png", size, ())])

    def ones(sample: Sample) -> NDArray[np.uint8]:
        return np.ones(sample.size, np.uint8)

    item = MaskedCrops(cache, ones, 8, (0.5, 2.0), 0, None, ones)[0]
    kept = item["masks"] == 1
    assert kept.any()
    assert torch.equal(item["weights"], kept / 255)


def test_confidence_comes_back_and_other_files_are_told(tmp_path: Path) -> None:
    confidence = np.arange(12, dtype=np.uint8).reshape(3, 4)
    write_confidence(tmp_path / "a.png", confidence)
    np.testing.assert_array_equal(read_confidence(tmp_path / "a.png", (3, 4)), confidence)
    with pytest.raises(DataError, match=mentions("a.png", "3 x 4", "L", "4 x 3", "L")):
        read_confidence(tmp_path / "a.png", (4, 3))
    Image.fromarray(np.zeros((3, 4, 3), np.uint8)).save(tmp_path / "b.png")
    with pytest.raises(DataError, match=mentions("b.png", "3 x 4", "RGB", "3 x 4", "L")):
        read_confidence(tmp_path / "b.png", (3, 4))
    with pytest.raises(DataError, match=mentions("c.png")):
        read_confidence(tmp_path / "c.png", (3, 4))
