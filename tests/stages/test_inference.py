"""Prediction by a network whose logits are known: windows, scales, edges."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from semples.inference.label_maps import predict_labels, prediction_batches, slide, window_starts
from semples.models.segmentation import Inference
from semples.records import Sample


def test_window_starts_by_hand() -> None:
    """Windows of 6 are 4 apart, of 512 they are 341 apart; the last ends where the axis ends."""
    assert window_starts(16, 6) == [0, 4, 8, 10]
    assert window_starts(14, 6) == [0, 4, 8]
    assert window_starts(6, 6) == [0]
    assert window_starts(7, 6) == [0, 1]
    assert window_starts(3, 6) == [0]
    assert window_starts(1, 1) == [0]
    assert window_starts(3, 1) == [0, 1, 2]
    assert window_starts(1200, 512) == [0, 341, 682, 688]


@pytest.mark.parametrize("window", range(1, 9))
@pytest.mark.parametrize("length", range(1, 30))
def test_windows_cover_every_pixel_and_stay_inside(length: int, window: int) -> None:
    covered = np.zeros(length, int)
    for start in window_starts(length, window):
        assert 0 <= start <= max(0, length - window)
        covered[start : start + window] += 1
    assert covered.min() >= 1


class Constant(nn.Module):
    """Logits of a window: 1 for background in the first window, 2 in the second, and so on."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[tuple[int, int]] = []

    def forward(self, pixels: Tensor) -> Tensor:
        self.sizes.append((pixels.shape[-2], pixels.shape[-1]))
        return pixels.new_full((len(pixels), 2, *pixels.shape[-2:]), float(len(self.sizes)))


def test_overlapping_logits_are_averaged_by_their_number() -> None:
    """Windows [0, 3) and [2, 5) of a row of 5: pixel 2 is in both, (1 + 2) / 2."""
    network = Constant()
    found = slide(network, torch.zeros(2, 3, 1, 5), 3)
    assert network.sizes == [(1, 3), (1, 3)]
    assert found.shape == (2, 2, 1, 5)
    assert found[0, 0, 0].tolist() == [1, 1, 1.5, 2, 2]
    assert torch.equal(found[0, 0], found[1, 1])


def test_an_image_smaller_than_the_window_is_one_window() -> None:
    network = Constant()
    assert slide(network, torch.zeros(1, 3, 2, 4), 8).shape == (1, 2, 2, 4)
    assert network.sizes == [(2, 4)]


class Red(nn.Module):
    """Class 1 where the image is red."""

    def __init__(self, inference: Inference, short_side: int) -> None:
        super().__init__()
        self.inference, self.short_side = inference, short_side
        self.sizes: list[tuple[int, int]] = []

    def forward(self, pixels: Tensor) -> Tensor:
        self.sizes.append((pixels.shape[-2], pixels.shape[-1]))
        return torch.cat([torch.full_like(pixels[:, :1], 0.5), pixels[:, :1]], 1)


def labels_of(network: Red, pixels: Tensor) -> torch.Tensor:
    return torch.from_numpy(predict_labels(network, pixels))  # type: ignore[arg-type]


@pytest.mark.parametrize("slides", [False, True])
@pytest.mark.parametrize("scales", [(1.0,), (0.5, 1.0, 2.0)])
@pytest.mark.parametrize("size", [(12, 20), (20, 12), (24, 24), (1, 9), (9, 1)])
def test_a_red_half_is_found_at_its_place(size: tuple[int, int], scales: tuple[float, ...], slides: bool) -> None:
    """The border may be off by one pixel where the image was scaled."""
    height, width = size
    pixels = torch.zeros(2, 3, height, width)
    along = width if width >= height else height
    half = (..., slice(along // 2, None)) if width >= height else (..., slice(along // 2, None), slice(None))
    pixels[1][half] = 1.0
    labels = labels_of(Red(Inference(scales, slides), 12), pixels)
    assert labels.shape == (2, height, width)
    assert labels[0].max() == 0
    expected = pixels[1, 0].to(torch.uint8)
    wrong = (labels[1] != expected).nonzero()
    across = min(height, width)
    assert len(wrong) <= across
    assert all(abs(int(place[1 if width >= height else 0]) - along // 2) <= 1 for place in wrong)


def test_the_network_sees_each_scale_of_the_training_size_twice() -> None:
    network = Red(Inference((1.0, 1.5)), 8)
    labels_of(network, torch.zeros(1, 3, 4, 6))
    assert network.sizes == [(8, 12), (8, 12), (12, 18), (12, 18)]
    network = Red(Inference((1.5,), slides=True), 8)
    labels_of(network, torch.zeros(1, 3, 4, 4))
    assert network.sizes == [(8, 8)] * 8  # of 12 x 12, and its mirror image


def test_scales_are_averaged_by_probability() -> None:
    """Class 1 has the logits 10, -2 and -2 against 0: 2 on average, but probabilities 1, 0.12 and 0.12."""

    class BySize(Red):
        def forward(self, pixels: Tensor) -> Tensor:
            value = torch.full_like(pixels[:, 0], 10.0 if pixels.shape[-1] == 4 else -2.0)
            return torch.stack([torch.zeros_like(value), value], 1)

    pixels = torch.zeros(1, 3, 4, 4)
    assert labels_of(BySize(Inference((1.0,)), 4), pixels).unique().tolist() == [1]
    assert labels_of(BySize(Inference((1.0, 2.0)), 4), pixels).unique().tolist() == [1]
    assert labels_of(BySize(Inference((1.0, 2.0, 1.5)), 4), pixels).unique().tolist() == [0]


def test_a_batch_fits_the_memory_of_the_largest_scale() -> None:
    """2^18 pixels: 64 images of 64 x 64 at scale 1, 16 at scale 2; scales below 1 take no more than scale 1."""
    samples = [Sample(str(index), Path("x"), (64, 64), ()) for index in range(64)]

    def sizes(*scales: float) -> list[int]:
        network = SimpleNamespace(short_side=64, inference=Inference(scales))
        return [len(batch) for batch in prediction_batches(network, samples)]  # type: ignore[arg-type]

    assert sizes(1.0) == [64]
    assert sizes(0.5, 1.0, 2.0) == [16] * 4
    assert sizes(0.5) == [64]
