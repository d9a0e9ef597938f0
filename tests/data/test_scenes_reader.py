from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from matching import assert_mentions, mentions, refusal
from semples.data.catalogues import voc_palette
from semples.data.scenes import CONTEXTS, Scene, SceneSettings, draw_scene, read_scenes, reader, sample_placements
from semples.errors import ConfigError, DataError
from semples.files import read_json

PAIRS = {"cat": "wood", "boat": "water", "car": "road"}
SETTINGS = SceneSettings(pairs=PAIRS, bias=0.8, image_size=32, train_size=6, val_size=2, seed=3)


@pytest.mark.parametrize("bias", [0.0, 0.7, 1.0])
def test_bias_is_the_share_of_own_contexts(bias: float) -> None:
    rng = np.random.default_rng(0)
    placements = [p for _ in range(3000) for p in sample_placements(rng, PAIRS, bias)]
    own = np.mean([PAIRS[str(p.object)] == p.context for p in placements])
    # Three standard deviations of a share of about 4200 draws are at most 0.023.
    assert own == pytest.approx(bias, abs=0.023 if 0 < bias < 1 else 0)


def test_other_contexts_are_uniform_over_all_thirteen() -> None:
    rng = np.random.default_rng(0)
    drawn = [p.context for _ in range(3000) for p in sample_placements(rng, PAIRS, 0.0) if p.object == "cat"]
    counts = Counter(drawn)
    assert set(counts) == set(CONTEXTS) - {"wood"}
    assert min(counts.values()) > 0.6 * len(drawn) / 13


def test_four_in_ten_scenes_have_two_different_objects() -> None:
    rng = np.random.default_rng(0)
    scenes = [sample_placements(rng, PAIRS, 0.5) for _ in range(3000)]
    assert np.mean([len(scene) == 2 for scene in scenes]) == pytest.approx(0.4, abs=0.03)
    assert all(len({p.object for p in scene}) == len(scene) for scene in scenes)
    shares = Counter(p.object for scene in scenes for p in scene)
    assert max(shares.values()) < 1.15 * min(shares.values())


def test_reader_leaves_the_promised_files_and_records(tmp_path: Path) -> None:
    dataset = read_scenes(tmp_path, SETTINGS)
    names = [f"train-{i:05d}" for i in range(1, 7)] + ["val-00001", "val-00002"]
    expected = [f"images/{n}.png" for n in names] + [f"masks/{n}.png" for n in names]
    files = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    assert files == sorted([*expected, "scenes.json", "tags.csv"])
    assert [s.id for s in (*dataset.train, *dataset.val)] == names
    assert dataset.catalogue.names == dataset.catalogue.prompt_names == ("cat", "boat", "car")
    assert {s.size for s in dataset.train} == {(32, 32)}


def test_tags_masks_and_descriptions_agree(tmp_path: Path) -> None:
    dataset = read_scenes(tmp_path, SETTINGS)
    described = read_json(tmp_path / "scenes.json")["scenes"]
    for sample in (*dataset.train, *dataset.val):
        assert sample.mask_path is not None
        mask = Image.open(sample.mask_path)
        assert mask.mode == "P"
        assert (mask.getpalette() or [])[:12] == voc_palette()[:12]
        values = np.unique(np.asarray(mask)).tolist()
        assert values == [0, *(tag + 1 for tag in sample.tags)]
        assert np.asarray(Image.open(sample.path)).shape == (32, 32, 3)
        words = " ".join(described[sample.id]).split()
        assert {dataset.catalogue.names[tag] for tag in sample.tags} == set(PAIRS) & set(words)


def test_hidden_object_is_no_tag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def only_last(*arguments: Any) -> Scene:
        scene = draw_scene(*arguments)
        return replace(scene, mask=np.where(scene.mask == len(scene.appearances), scene.mask, 0).astype(np.uint8))

    monkeypatch.setattr(reader, "draw_scene", only_last)
    assert {len(sample.tags) for sample in read_scenes(tmp_path, SETTINGS).train} == {1}


def test_larger_split_begins_with_the_smaller_one(tmp_path: Path) -> None:
    small = read_scenes(tmp_path / "small", SETTINGS)
    large = read_scenes(tmp_path / "large", replace(SETTINGS, train_size=9, val_size=4))
    for a, b in zip((*small.train, *small.val), (*large.train[:6], *large.val[:2]), strict=True):
        assert a.path.read_bytes() == b.path.read_bytes()
        assert a.tags == b.tags


def test_seeds_and_splits_have_their_own_images(tmp_path: Path) -> None:
    datasets = [read_scenes(tmp_path / str(seed), replace(SETTINGS, seed=seed)) for seed in (0, 1)]
    images = [s.path.read_bytes() for d in datasets for s in (*d.train, *d.val)]
    assert len(set(images)) == 16


def test_same_settings_use_the_files_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read_scenes(tmp_path, SETTINGS)
    monkeypatch.setattr(reader, "draw_scene", None)
    assert read_scenes(tmp_path, SETTINGS) == first


def test_missing_masks_change_nothing_but_the_mask_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read_scenes(tmp_path, SETTINGS)
    shutil.rmtree(tmp_path / "masks")
    monkeypatch.setattr(reader, "draw_scene", None)
    again = read_scenes(tmp_path, SETTINGS)
    assert {s.mask_path for s in (*again.train, *again.val)} == {None}
    assert [replace(s, mask_path=None) for s in first.train] == list(again.train)
    assert not (tmp_path / "masks").exists()


@pytest.mark.parametrize("lost", ["images/train-00004.png", "tags.csv", "scenes.json"])
def test_missing_file_is_drawn_again_with_the_same_bytes(tmp_path: Path, lost: str) -> None:
    read_scenes(tmp_path, SETTINGS)
    before = (tmp_path / lost).read_bytes()
    (tmp_path / lost).unlink()
    read_scenes(tmp_path, SETTINGS)
    assert (tmp_path / lost).read_bytes() == before


def test_other_settings_draw_again(tmp_path: Path) -> None:
    before = read_scenes(tmp_path, SETTINGS).train[0].path.read_bytes()
    for change in ({"seed": 4}, {"bias": 0.1}, {"pairs": {"boat": "water", "cat": "wood", "car": "road"}}):
        settings = replace(SETTINGS, **change)
        assert settings.digest() != SETTINGS.digest()
        read_scenes(tmp_path, settings)
        assert read_json(tmp_path / "scenes.json")["settings_digest"] == settings.digest()
    assert read_scenes(tmp_path, SETTINGS).train[0].path.read_bytes() == before


def test_interrupted_drawing_is_not_taken_for_a_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = [s.path.read_bytes() for s in read_scenes(tmp_path, SETTINGS).train]
    calls = iter(range(100))

    def interrupted(*arguments: Any) -> Scene:
        if next(calls) == 3:
            raise KeyboardInterrupt
        return draw_scene(*arguments)

    monkeypatch.setattr(reader, "draw_scene", interrupted)
    with pytest.raises(KeyboardInterrupt):
        read_scenes(tmp_path, replace(SETTINGS, seed=9))
    assert [s.path.read_bytes() for s in read_scenes(tmp_path, SETTINGS).train] == first


def test_changed_tags_are_read_and_wrong_ones_refused(tmp_path: Path) -> None:
    read_scenes(tmp_path, SETTINGS)
    tags = tmp_path / "tags.csv"
    lines = tags.read_text().splitlines()
    tags.write_text("\n".join([lines[0], "images/train-00001.png,car|cat", *lines[2:]]))
    assert read_scenes(tmp_path, SETTINGS).train[0].tags == (0, 2)
    tags.write_text("\n".join([lines[0], "images/train-00001.png,carr", *lines[2:]]))
    with pytest.raises(DataError, match=mentions("tags.csv", "images/train-00001.png", "carr", "car")):
        read_scenes(tmp_path, SETTINGS)
    tags.write_text("\n".join([lines[0], *lines[2:]]))
    with pytest.raises(DataError, match=mentions("tags.csv", "images/train-00001.png", "line")):
        read_scenes(tmp_path, SETTINGS)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"pairs": {"cat": "wood"}}, ("data.pairs", 1, 2)),
        ({"pairs": {"bot": "water", "cat": "wood"}}, ("data.pairs", "bot", "boat")),
        ({"pairs": {"boat": "watr", "cat": "wood"}}, ("data.pairs", "watr", "water")),
        ({"bias": 1.01}, ("data.bias", 1.01, 0, 1)),
        ({"bias": float("nan")}, ("data.bias", "nan")),
        ({"image_size": 31}, ("data.image_size", 31, 32, 512)),
        ({"image_size": 513}, ("data.image_size", 513, 32, 512)),
        ({"train_size": 0}, ("data.train_size", 0, 1)),
        ({"val_size": 0}, ("data.val_size", 0, 1)),
        ({"seed": -1}, ("seed", -1)),
    ],
)
def test_bad_settings_are_named(change: dict[str, Any], named: Sequence[object]) -> None:
    assert_mentions(refusal(lambda: replace(SETTINGS, **change), ConfigError), *named)


def test_words_for_prompts_are_taken(tmp_path: Path) -> None:
    assert read_scenes(tmp_path, SETTINGS, {"boat": "rowing boat"}).catalogue.prompt_names == (
        "cat",
        "rowing boat",
        "car",
    )
    with pytest.raises(ConfigError, match="bout"):
        read_scenes(tmp_path, SETTINGS, {"bout": "boat"})
