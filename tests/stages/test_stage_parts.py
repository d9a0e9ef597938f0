"""Parts of the stages that can be worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from semples.data.masked_crops import random_crop
from semples.errors import RunError
from semples.inference.batches import size_batches
from semples.inference.cams import tagged_cams
from semples.models.generators.base import MaskGenerator, MaskGeneratorOutput
from semples.models.generators.clip.generator import ClipGenerator
from semples.models.generators.dense.generator import DenseGenerator
from semples.models.vision_language.loading import load_vision_language_model
from semples.models.vision_language.vocabulary import candidate_words, nearest_words
from semples.records import Sample
from semples.rundir.layout import RunDirectory
from semples.runtime.cam_files import read_cams
from semples.runtime.regions import CachedRegions
from semples.stages.guided import count_pairs, with_pairs
from semples.verbs.comparison import paired_difference
from tiny import save_clip
from weaktr_support import build_weaktr


class Brightness(nn.Module):
    """CAM = red channel at half resolution."""

    def forward(self, pixels: Tensor, labels: Tensor | None = None) -> MaskGeneratorOutput:  # noqa: ARG002
        cams = nn.functional.avg_pool2d(pixels[:, :1], 2)
        return MaskGeneratorOutput(cams, {"red": cams.mean(dim=(2, 3))})


def all_cams(generator: nn.Module, pixels: Tensor, scales: list[float], flip: bool, classes: int = 1) -> Tensor:
    """CAMs [B, K, H, W] of all classes."""
    return torch.stack(tagged_cams(generator, pixels, [range(classes)] * len(pixels), classes, scales, flip))


def test_cams_of_several_scales_find_the_bright_side_and_span_0_to_1() -> None:
    pixels = torch.zeros(1, 3, 12, 20)
    pixels[..., 14:] = 1.0
    cams = all_cams(Brightness(), pixels, [1.0, 1.5], flip=True)
    assert cams.shape == (1, 1, 12, 20)
    assert cams.min() == 0
    assert cams.max() == pytest.approx(1.0, abs=1e-6)
    assert cams[0, 0, :, 17:].min() > 0.9
    assert cams[0, 0, :, :8].max() < 0.1


def test_a_mirrored_run_is_mirrored_back() -> None:
    pixels = torch.rand(1, 3, 8, 8)
    once = all_cams(Brightness(), pixels, [1.0], flip=False)
    both = all_cams(Brightness(), pixels, [1.0], flip=True)
    torch.testing.assert_close(once, both)


class Colors(nn.Module):
    """One CAM for each channel."""

    def forward(self, pixels: Tensor, labels: Tensor | None = None) -> MaskGeneratorOutput:
        assert labels is not None
        cams = nn.functional.avg_pool2d(pixels, 2)
        return MaskGeneratorOutput(cams, {"color": cams.mean(dim=(2, 3))})


def test_maps_of_tags_are_those_of_all_classes() -> None:
    pixels = torch.rand(3, 3, 8, 12, generator=torch.Generator().manual_seed(0))
    tags = [(1,), (), (0, 2)]
    found = tagged_cams(Colors(), pixels, tags, 3, [1.0, 1.5], flip=True)
    whole = all_cams(Colors(), pixels, [1.0, 1.5], flip=True, classes=3)
    assert [maps.shape for maps in found] == [(1, 8, 12), (0, 8, 12), (2, 8, 12)]
    for maps, image, own in zip(found, whole, tags, strict=True):
        torch.testing.assert_close(maps, image[list(own)], atol=1e-6, rtol=0)
    (none,) = tagged_cams(Colors(), pixels[:1], tags[1:2], 3, [1.0, 1.5], flip=True)
    assert none.shape == (0, 8, 12)


@pytest.mark.parametrize("name", ["weaktr", "clip", "dense"])
def test_mixed_precision_gives_the_same_maps_but_for_its_rounding(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    generator: MaskGenerator
    if name in ("clip", "dense"):
        model = load_vision_language_model(str(save_clip(tmp_path)))
        kind = ClipGenerator if name == "clip" else DenseGenerator
        generator = kind(model, ["cat", "boat"], ["water", "grass"])
    else:
        generator = build_weaktr(2, image_size=32, patch_size=8, width=24, depth=2, heads=2, mlp_width=48)
    pixels = torch.rand(2, 3, 32, 48)
    tags = [(0,), (0, 1)]
    found = {}
    for is_mixed in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=is_mixed):
            maps = torch.cat(tagged_cams(generator.eval(), pixels, tags, 2, [1.0], True, generator.affinity_steps))
        assert maps.dtype == torch.float32
        assert maps.isfinite().all()
        found[is_mixed] = maps
    if name != "weaktr":  # untrained WeakTr attends to all patches alike: its maps are constant but for rounding
        assert float((found[True] - found[False]).abs().mean()) < 0.05


def test_a_batch_knows_its_pairs() -> None:
    labels = ([0.0, 1.0, 0.0], [1.0, 0.0, 1.0])
    batch = with_pairs([{"pixels": torch.zeros(3, 2, 2), "labels": torch.tensor(row)} for row in labels])
    assert batch["pixels"].shape == (2, 3, 2, 2)
    assert batch["image_index"].tolist() == [0, 1, 1]
    assert batch["class_index"].tolist() == [1, 0, 2]
    assert int(count_pairs(batch)) == 3


def test_a_pair_that_does_not_count_stands_in_where_there_is_none() -> None:
    batch = with_pairs([{"pixels": torch.zeros(3, 2, 2), "labels": torch.zeros(3)}])
    assert (batch["image_index"].tolist(), batch["class_index"].tolist()) == ([0], [0])
    assert int(count_pairs(batch)) == 0


def test_epochs_take_the_views_of_a_background_in_turn() -> None:
    views = torch.arange(12.0).view(2, 3, 2)
    backgrounds = CachedRegions(views, torch.tensor([0, 1, 1]), ["a", "b", "c"])
    seen = []
    for backgrounds.epoch in range(3):
        assert backgrounds[2]["classes"] == 1
        seen.append(backgrounds[2]["features"].tolist())
    assert seen == [[4.0, 5.0], [10.0, 11.0], [4.0, 5.0]]


def test_batches_hold_one_size_and_every_image_once() -> None:
    sizes = [(10, 20), (30, 30), (10, 20), (2000, 3000), (2000, 3000)]
    samples = [Sample(str(i), Path("x"), size, (0,)) for i, size in enumerate(sizes)]
    batches = list(size_batches(samples))
    assert sorted(i for batch in batches for i in batch) == [0, 1, 2, 3, 4]
    assert [0, 2] in batches
    assert [3] in batches


def test_small_images_that_are_scaled_up_come_in_smaller_batches() -> None:
    """64 x 64 at short side 512 is one image of 2^18 pixels; at its own size, 64 of them fit."""
    samples = [Sample(str(index), Path("x"), (64, 64), ()) for index in range(65)]
    assert [len(batch) for batch in size_batches(samples)] == [64, 1]
    assert [len(batch) for batch in size_batches(samples, 512)] == [1] * 65
    assert [len(batch) for batch in size_batches(samples, 32)] == [64, 1]


def test_missing_cams_name_the_stage_to_force(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="--force classify"):
        read_cams(RunDirectory(tmp_path), "classify", Sample("a", Path("a.png"), (2, 2), (0,)))


class Vocabulary:
    def __init__(self, *tokens: str) -> None:
        self.tokens = tokens

    def get_vocab(self) -> dict[str, int]:
        return {token: index for index, token in enumerate(self.tokens)}


@pytest.mark.parametrize(
    "tokens",
    [
        ("<s>", "cat", ".", "sea"),  # words alone, as in the bundled model
        ("ca", "cat</w>", ".</w>", "sea</w>"),  # CLIP's BPE
        ("▁cat", "at", "▁.", "▁Cat", "▁sea", "▁été"),  # SentencePiece
        ("[CLS]", "cat", "##at", "sea", "##s", "[unused1]", "1990"),  # WordPiece
        ("at", "Ġcat", "Ġ.", "Ġsea"),  # byte-level BPE
    ],
)
def test_candidate_words_are_whole_words(tokens: tuple[str, ...]) -> None:
    assert candidate_words(Vocabulary(*tokens)) == ["cat", "sea"]


def test_of_a_whole_language_the_first_words_of_three_letters_or_more_are_taken() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    many = [a + b + c + d for a in letters for b in letters for c in letters for d in "xyz"]  # 52,728 words
    words = candidate_words(Vocabulary("ox", "it", *many))
    assert words == many[:30_000]
    assert candidate_words(Vocabulary("ox", "it", *many[:900]))[:2] == ["ox", "it"]


def test_nearest_words_by_hand() -> None:
    words = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    found = nearest_words(torch.tensor([[0.0, 1.0]]), ["land", "shore", "sea"], words, 2)
    assert found == [[("sea", 1.0), ("shore", 0.8)]]


class TestRandomCrop:
    def test_a_small_image_is_padded_with_ignore(self) -> None:
        rng = np.random.default_rng(0)
        image, mask = np.full((10, 6, 3), 7, np.uint8), np.full((10, 6), 3, np.uint8)
        crop, label = random_crop(rng, image, (mask,), 20, 1.0)
        assert (label == 3).sum() == 60
        assert (label == 255).sum() == 400 - 60
        assert (crop[label == 3] == 7).all()
        assert (crop[label == 255] == 128).all()

    def test_image_and_mask_stay_aligned(self) -> None:
        rng = np.random.default_rng(1)
        mask = np.zeros((40, 50), np.uint8)
        mask[10:30, 20:45] = 1
        image = np.repeat(mask[..., None] * 200, 3, 2)
        for _ in range(30):
            crop, label = random_crop(rng, image, (mask,), 24, rng.uniform(0.5, 2))
            kept = label != 255
            disagree = (crop[..., 0] > 100) != (label == 1)
            assert disagree[kept].mean() < 0.06  # only pixels on the blurred border


def test_paired_difference_by_hand() -> None:
    """Differences 1, 2, 3: mean 2, deviation 1, t(0.975, 2) = 4.303, so 2 -+ 4.303 / sqrt(3)."""
    result = paired_difference([2, 4, 6], [1, 2, 3])
    assert result["mean"] == pytest.approx(2)
    assert result["interval"] == pytest.approx([2 - 2.4843, 2 + 2.4843], abs=1e-3)
    assert paired_difference([1.0], [0.5]) == {"mean": 0.5, "interval": None}
