"""Overlapping windows of the generator dense, with encoders that are worked out by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from matching import mentions
from semples.models.generators.dense.windows import window_starts, windowed_features


def random_image(height: int, width: int, batch: int = 2) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("length", "side", "expected"),
    [(4, 4, [0]), (3, 4, [0]), (5, 4, [0, 1]), (8, 4, [0, 2, 4]), (9, 4, [0, 2, 4, 5]), (3, 1, [0, 1, 2])],
)
def test_they_start_half_a_window_apart_and_reach_the_end(length: int, side: int, expected: list[int]) -> None:
    assert window_starts(length, side) == expected


def test_overlaps_are_averaged_by_hand() -> None:
    """One row of 5 places of 1 pixel in windows of 4: each returns its mean, 1.5 of 0 to 3, and 2.5 of 1 to 4."""
    pixels = torch.arange(5.0).expand(1, 3, 1, 5)

    def mean_of_window(images: Tensor) -> Tensor:
        return images.mean((1, 2, 3), keepdim=True).expand(-1, 1, images.shape[-1], 1)

    found = windowed_features(mean_of_window, pixels, window=4, cell=1)
    assert found.flatten().tolist() == [1.5, 2, 2, 2, 2.5]


def test_corners_of_four_windows_by_hand() -> None:
    """3 x 3 places in windows of 2: the middle lies in all four, the sides in two."""
    seen = iter([1.0, 2.0, 3.0, 4.0])
    found = windowed_features(
        lambda images: torch.full((1, *images.shape[-2:], 1), next(seen)), torch.zeros(1, 3, 3, 3), 2, 1
    )
    assert found[0, ..., 0].tolist() == [[1, 1.5, 2], [2, 2.5, 3], [3, 3.5, 4]]


@pytest.mark.parametrize("size", [(48, 80), (50, 75), (16, 90)], ids=str)
def test_an_encoder_that_looks_nowhere_else_gives_the_same(size: tuple[int, int]) -> None:
    pixels = random_image(*size)

    def encode(images: Tensor) -> Tensor:
        return F.avg_pool2d(images, 8).permute(0, 2, 3, 1)

    rows, columns = (round(side / 8) for side in size)
    whole = encode(F.interpolate(pixels, (rows * 8, columns * 8), mode="bilinear", antialias=True))
    found = windowed_features(encode, pixels, window=32, cell=8)
    assert found.shape == (2, rows, columns, 3)
    torch.testing.assert_close(found, whole)


def test_an_encoder_that_looks_around_gives_the_same_inside_of_windows() -> None:
    """A 3 x 3 mean needs one place more on each side: only the outermost places of a window differ."""
    pixels = random_image(12, 15)

    def encode(images: Tensor) -> Tensor:
        return F.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False).permute(0, 2, 3, 1)

    found, whole = windowed_features(encode, pixels, window=6, cell=1), encode(pixels)
    # Windows 0 to 5, 3 to 8, 6 to 11 and, along the columns, 9 to 14.
    rows, columns = torch.tensor([1, 2, 4, 7, 9, 10]), torch.tensor([1, 2, 4, 7, 10, 12, 13])
    inside = (slice(None), rows[:, None], columns)
    torch.testing.assert_close(found[inside], whole[inside])
    assert not torch.allclose(found[:, 3], whole[:, 3])


def test_a_place_of_another_size_is_noticed() -> None:
    with pytest.raises(ValueError, match=mentions("window", "(4, 4)", "(2, 2)", "cell")):
        windowed_features(lambda images: images.permute(0, 2, 3, 1), torch.zeros(1, 3, 8, 8), 4, 2)
