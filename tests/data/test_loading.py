"""Training crops: shapes, ranges, labels, reproducibility, and boxes inside the image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from semples.data import crops
from semples.data.crops import ImageCache, TrainingCrops, random_box, resize, to_pixels, training_loader
from semples.records import Sample


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    made = []
    for index, (height, width) in enumerate([(40, 60), (60, 30)]):
        path = tmp_path / f"{index}.png"
        Image.fromarray(np.full((height, width, 3), 100 + index, np.uint8)).save(path)
        made.append(Sample(str(index), path, (height, width), (index, 2)))
    return made


def test_items(samples: list[Sample]) -> None:
    item = TrainingCrops(ImageCache(samples), 4, 24, crop_scale=0.5)[1]
    assert item["pixels"].shape == (3, 24, 24)
    assert torch.allclose(item["pixels"], torch.tensor(101 / 255))
    assert item["labels"].tolist() == [0, 1, 1, 0]
    assert item["index"] == 1


def test_workers_keep_no_images_that_die_with_their_epoch(
    samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def pixels(sample: Sample) -> NDArray[np.uint8]:
        read.append(sample.id)
        return np.zeros((2, 2, 3), np.uint8)

    own, in_worker = ImageCache(samples, read=pixels), ImageCache(samples, read=pixels)
    assert own[0] is own[0]
    monkeypatch.setattr(crops, "get_worker_info", object)
    assert in_worker[1] is not in_worker[1]
    assert read == ["0", "1", "1"]


def test_crops_depend_on_seed_and_epoch_alone(tmp_path: Path) -> None:
    path = tmp_path / "noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(path)
    cache = ImageCache([Sample("noise", path, (32, 32), (0,))])
    first, again = (TrainingCrops(cache, 1, 16, crop_scale=0.3, seed=5) for _ in range(2))
    assert torch.equal(first[0]["pixels"], again[0]["pixels"])
    again.epoch = 1
    assert not torch.equal(first[0]["pixels"], again[0]["pixels"])


def test_boxes_stay_inside_and_keep_their_share() -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        left, top, right, bottom = random_box(rng, 30, 90, 0.5)
        assert 0 <= left < right <= 90
        assert 0 <= top < bottom <= 30
    left, top, right, bottom = random_box(rng, 40, 40, 1.0)
    assert (right - left, bottom - top) == (40, 40)


def test_squeezing_takes_the_whole_image() -> None:
    halves = np.zeros((10, 40, 3), np.uint8)
    halves[:, 20:] = 200
    small = resize(halves, 10)
    assert small[:, :4].max() == 0
    assert small[:, 6:].min() == 200


def test_pixels_of_a_known_image() -> None:
    image = np.zeros((1, 2, 3), np.uint8)
    image[0, 1] = (255, 51, 0)
    assert to_pixels(image)[:, 0, 1].tolist() == pytest.approx([1.0, 0.2, 0.0])


def test_what_does_not_fit_in_the_cache_is_read_again(samples: list[Sample]) -> None:
    none, all_of_it = ImageCache(samples, 0), ImageCache(samples, 1)
    assert none[0] is not none[0]
    assert all_of_it[0] is all_of_it[0]


def test_the_loader_gives_every_image_once(samples: list[Sample]) -> None:
    crops = TrainingCrops(ImageCache(samples), 4, 24, crop_scale=0.5)
    batches = list(training_loader(crops, 1, seed=3))
    assert sorted(int(batch["index"]) for batch in batches) == [0, 1]
