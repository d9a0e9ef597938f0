"""Augmentation: each operation by hand, reproducible everywhere, and aligned with its maps."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from semples.data.augmentation import OPERATIONS, Augmentation, draw_operations, erase, jitter_colors, operate, warp
from semples.data.crops import ImageCache, TrainingCrops, training_loader
from semples.records import Sample

PAPER = Augmentation(2, 9, 0.4, 0.25)


def noise(side: int = 24, seed: int = 0) -> Tensor:
    """A crop whose values are whole 255ths, as those of photographs are."""
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (3, side, side)).astype(np.float32)) / 255


def as_image(pixels: Tensor) -> Image.Image:
    return Image.fromarray((pixels * 255).round().byte().permute(1, 2, 0).numpy())


def as_pixels(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


def dot(side: int, row: int, column: int) -> Tensor:
    """A map [1, side, side] that is 1 at one pixel."""
    marked = torch.zeros(1, side, side)
    marked[0, row, column] = 1
    return marked


def place(marked: Tensor) -> tuple[int, int]:
    """Row and column of the largest value."""
    row, column = divmod(int(marked.flatten().argmax()), marked.shape[-1])
    return row, column


class TestOff:
    def test_nothing_changes_and_nothing_is_drawn(self) -> None:
        pixels, rng = noise(), np.random.default_rng(3)
        result = Augmentation()(pixels, rng)
        assert result.pixels is pixels
        assert (result.matrix == np.eye(3)).all()
        assert rng.random() == np.random.default_rng(3).random()

    @pytest.mark.parametrize("name", [name for name in OPERATIONS if name not in ("autocontrast", "equalize")])
    def test_no_strength_is_no_change(self, name: str) -> None:
        result = operate(noise(), name, 0.0)
        torch.testing.assert_close(result.pixels, noise(), atol=1e-5, rtol=0)
        np.testing.assert_allclose(result.matrix, np.eye(3), atol=1e-12)

    def test_jitter_of_no_strength_is_no_change(self) -> None:
        torch.testing.assert_close(jitter_colors(noise(), 0.0, np.random.default_rng(0)), noise())


class TestOperations:
    def test_they_are_the_14_of_the_paper(self) -> None:
        assert set(OPERATIONS) == {
            *("identity", "autocontrast", "equalize", "rotate", "solarize", "color", "posterize", "contrast"),
            *("brightness", "sharpness", "shear_x", "shear_y", "translate_x", "translate_y"),
        }

    @pytest.mark.parametrize("name", OPERATIONS)
    @pytest.mark.parametrize("strength", [-1.0, -0.3, 0.3, 1.0])
    def test_shape_range_and_no_change_in_place(self, name: str, strength: float) -> None:
        pixels = noise()
        result = operate(pixels, name, strength).pixels
        assert result.shape == pixels.shape
        assert result.dtype == torch.float32
        assert result.min() >= 0
        assert result.max() <= 1
        assert torch.equal(pixels, noise())

    @pytest.mark.parametrize(
        "name", [name for name in OPERATIONS if name not in ("identity", "autocontrast", "equalize")]
    )
    def test_severity_grows_with_strength(self, name: str) -> None:
        """On a smooth image, so that what moves further differs more."""
        ramp = torch.linspace(0.1, 0.9, 24)
        pixels = torch.stack([ramp.expand(24, 24), ramp.expand(24, 24).T, ramp.expand(24, 24).flip(1)])
        changes = [float((operate(pixels, name, step).pixels - pixels).abs().mean()) for step in (0.25, 0.5, 1.0)]
        assert 0 <= changes[0] <= changes[1] < changes[2]

    @pytest.mark.parametrize(
        ("name", "strength", "reference", "levels"),
        [
            ("autocontrast", 0.5, lambda image: ImageOps.autocontrast(image), 2),
            ("equalize", 0.5, lambda image: ImageOps.equalize(image), 1),
            ("posterize", 1.0, lambda image: ImageOps.posterize(image, 4), 0),
            ("posterize", -0.5, lambda image: ImageOps.posterize(image, 6), 0),
            ("solarize", 0.5, lambda image: ImageOps.solarize(image, 128), 0),
            ("brightness", 0.9, lambda image: ImageEnhance.Brightness(image).enhance(1.81), 1),
            ("brightness", -0.9, lambda image: ImageEnhance.Brightness(image).enhance(0.19), 1),
            ("contrast", 0.9, lambda image: ImageEnhance.Contrast(image).enhance(1.81), 2),
            ("color", -0.9, lambda image: ImageEnhance.Color(image).enhance(0.19), 2),
            ("sharpness", 0.9, lambda image: ImageEnhance.Sharpness(image).enhance(1.81), 2),
        ],
    )
    def test_colors_are_those_of_pillow(self, name: str, strength: float, reference: Any, levels: int) -> None:
        """Pillow's operations are those of the paper; it rounds to whole levels in between."""
        narrow = (noise() * 200 + 20).floor() / 255
        expected = as_pixels(reference(as_image(narrow)))
        difference = (operate(narrow, name, strength).pixels - expected).abs().max() * 255
        assert difference <= levels + 1e-3 + (0 if name == "posterize" else 0.5)

    def test_a_channel_of_one_value_has_no_contrast_to_spread(self) -> None:
        flat = torch.full((3, 8, 8), 0.3)
        assert torch.equal(operate(flat, "autocontrast", 1.0).pixels, flat)

    def test_places_by_hand(self) -> None:
        """Side 21, center (10, 10), a dot 6 columns right of it and 4 rows up: (row 6, column 16)."""
        marked = dot(21, 6, 16).expand(3, 21, 21)
        moved = {
            ("translate_x", -1.0): (6, 16 - 9),  # 0.45 * 21 = 9.45
            ("translate_y", 1.0): (6 + 9, 16),
            ("shear_x", 1.0): (6, 15),  # x + 0.3 * y = 6 - 1.2 = 4.8 right of the center
            ("shear_y", 1.0): (8, 16),  # y + 0.3 * x = -4 + 1.8 = -2.2
            ("rotate", 1.0): (9, 17),  # by 30 degrees: x = 6 * 0.866 + 4 * 0.5 = 7.2, y = 6 * 0.5 - 4 * 0.866 = -0.46
        }
        for (name, strength), expected in moved.items():
            row, column = place(operate(marked, name, strength).pixels[:1])
            assert abs(row - expected[0]) + abs(column - expected[1]) <= 1, name

    def test_what_comes_in_has_the_mean_color(self) -> None:
        pixels = torch.zeros(3, 20, 20)
        pixels[0, :, :10] = 1.0
        pixels[2] = 0.25
        moved = operate(pixels, "translate_x", 1.0).pixels  # by 9 columns
        torch.testing.assert_close(moved[:, :, :8].mean((1, 2)), torch.tensor([0.5, 0.0, 0.25]))


def test_maps_move_with_the_crop() -> None:
    """A bright spot in the crop, in a CAM and in a label map stay on each other, and the inverse brings them back."""
    side, rng = 48, np.random.default_rng(1)
    spot = torch.zeros(1, side, side)
    spot[0, 20:26, 27:33] = 1
    augment = Augmentation(randaugment_operations=3)
    moved = 0
    for _ in range(40):
        matrix = augment(spot.expand(3, side, side), rng).matrix
        pixels = warp(spot.expand(3, side, side), matrix)
        cam, labels = warp(spot, matrix), warp(3 * spot, matrix, "nearest", fill=255.0)
        assert set(labels.unique().tolist()) <= {0.0, 3.0, 255.0}
        torch.testing.assert_close(cam[0], pixels[0])
        assert ((labels[0] == 3) != (cam[0] > 0.5)).sum() <= 6  # pixels on the border
        center = matrix @ [29.5, 22.5, 1]
        if cam.sum() > 30:
            rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
            weights = cam[0] / cam.sum()
            assert float((weights * columns).sum()) == pytest.approx(center[0], abs=0.3)
            assert float((weights * rows).sum()) == pytest.approx(center[1], abs=0.3)
            back = warp(cam, np.linalg.inv(matrix))
            assert ((back > 0.5) != (spot > 0.5)).sum() <= 10
            moved += not np.allclose(matrix, np.eye(3))
    assert moved > 10


def test_the_marker_in_the_augmented_crop_is_where_the_matrix_says() -> None:
    spot = torch.full((3, 40, 40), 0.2)
    spot[:, 18:21, 24:27] = 0.9
    augment = Augmentation(randaugment_operations=1)
    seen = set()
    for seed in range(60):
        name, _ = draw_operations(np.random.default_rng(seed), 1)[0]
        if name not in ("rotate", "shear_x", "shear_y", "translate_x", "translate_y"):
            continue
        pixels, matrix = augment(spot, np.random.default_rng(seed))
        column, row, _ = matrix @ [25, 19, 1]
        if 2 < row < 37 and 2 < column < 37:
            found = place(pixels[:1])
            assert abs(found[0] - row) <= 1.5
            assert abs(found[1] - column) <= 1.5
            seen.add(name)
    assert len(seen) >= 4


class TestDistributions:
    def test_operations_are_drawn_evenly_with_both_signs(self) -> None:
        rng = np.random.default_rng(0)
        drawn = [pair for _ in range(1400) for pair in draw_operations(rng, 2)]
        counts = {name: sum(other == name for other, _ in drawn) for name in OPERATIONS}
        # 2800 draws of 14: 200 each, deviation sqrt(2800 * 1/14 * 13/14) = 13.6; four of them are 55.
        assert all(abs(count - 200) < 55 for count in counts.values())
        assert abs(sum(sign for _, sign in drawn)) < 4 * np.sqrt(2800)

    def test_jitter_of_a_grey_crop_is_its_brightness(self) -> None:
        """Contrast and saturation cannot change one gray: 0.5 times a factor, even in [0.6, 1.4]."""
        gray = torch.full((3, 4, 4), 0.5)
        values = [float(jitter_colors(gray, 0.4, np.random.default_rng(seed))[0, 0, 0]) for seed in range(400)]
        assert 0.3 - 1e-6 <= min(values) < 0.31
        assert 0.69 < max(values) <= 0.7 + 1e-6
        # Deviation of the mean: 0.5 * 0.8 / sqrt(12) / sqrt(400) = 0.0058.
        assert np.mean(values) == pytest.approx(0.5, abs=4 * 0.0058)

    def test_a_quarter_is_erased_by_a_rectangle_of_mean_color(self) -> None:
        pixels, augment = noise(32), Augmentation(random_erasing=0.25)
        mean = pixels.mean((1, 2))
        erased = 0
        for seed in range(800):
            result = augment(pixels, np.random.default_rng(seed)).pixels
            changed = (result != pixels).any(0)
            if changed.any():
                erased += 1
                torch.testing.assert_close(result[:, changed], mean[:, None].expand(3, int(changed.sum())))
        # 800 draws at 0.25: 200, deviation sqrt(800 * 0.25 * 0.75) = 12.2.
        assert abs(erased - 200) < 4 * 12.2

    def test_size_and_shape_of_the_rectangle(self) -> None:
        shares, aspects = [], []
        for seed in range(300):
            changed = (erase(noise(64), np.random.default_rng(seed)) != noise(64)).any(0)
            height, width = int(changed.any(1).sum()), int(changed.any(0).sum())
            assert changed.sum() == height * width
            shares.append(height * width / 64**2)
            aspects.append(height / width)
        assert 0.015 < min(shares) < 0.06
        assert 0.3 < max(shares) < 0.35
        assert 0.25 < min(aspects) < 0.5
        assert 2 < max(aspects) < 3.8


def digest_of(pixels: Tensor) -> str:
    return hashlib.sha256(pixels.contiguous().numpy().tobytes()).hexdigest()


PROGRAM = """
import sys; sys.path.insert(0, {folder!r})
import torch; torch.set_num_threads(2)
from test_augmentation import PAPER, digest_of, noise
import numpy as np
print(digest_of(torch.stack([PAPER(noise(224, i), np.random.default_rng(i)).pixels for i in range(12)])))
"""


class TestReproducible:
    @pytest.mark.whole
    def test_the_same_bytes_in_another_process_with_more_threads(self) -> None:
        expected = digest_of(torch.stack([PAPER(noise(224, i), np.random.default_rng(i)).pixels for i in range(12)]))
        program = PROGRAM.format(folder=str(Path(__file__).parent))
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == expected

    def test_the_same_crops_with_any_number_of_workers(self, tmp_path: Path) -> None:
        samples = []
        for index in range(6):
            path = tmp_path / f"{index}.png"
            as_image(noise(40, index)).save(path)
            samples.append(Sample(str(index), path, (40, 40), (0,)))
        crops = TrainingCrops(ImageCache(samples), 1, 32, crop_scale=0.5, augmentation=PAPER, seed=4)
        batches = {
            workers: torch.cat([batch["pixels"] for batch in training_loader(crops, 2, 0, workers)])
            for workers in (0, 2)
        }
        assert torch.equal(batches[0], batches[2])
        first = crops[0]["pixels"]
        crops.epoch = 1
        assert not torch.equal(first, crops[0]["pixels"])

    def test_no_augmentation_gives_the_crops_of_before(self, tmp_path: Path) -> None:
        as_image(noise(40)).save(tmp_path / "a.png")
        cache = ImageCache([Sample("a", tmp_path / "a.png", (40, 40), (0,))])
        plain, off, on = (
            TrainingCrops(cache, 1, 32, crop_scale=0.5, augmentation=augmentation)[0]["pixels"]
            for augmentation in (None, Augmentation(), PAPER)
        )
        assert torch.equal(plain, off)
        assert not torch.equal(plain, on)

    def test_no_global_generator_is_touched(self) -> None:
        before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index]
        for seed in range(30):
            PAPER(noise(), np.random.default_rng(seed))
        after = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index]
        assert torch.equal(before[0], after[0])
        assert before[1:] == after[1:]


def test_crops_stay_in_range() -> None:
    for seed in range(60):
        pixels = Augmentation(4, 10, 1.0, 1.0)(noise(24, seed), np.random.default_rng(seed)).pixels
        assert pixels.shape == (3, 24, 24)
        assert 0 <= pixels.min() <= pixels.max() <= 1
        assert torch.isfinite(pixels).all()
