"""Runs and mask generators as objects: the same results as the stages', and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import semples
from matching import mentions
from semples import MaskGenerator, Pipeline, RunResult, load_config
from semples.config import Config
from semples.data.images import read_image, read_mask
from semples.errors import ConfigError, DataError, RunError
from semples.records import Sample
from semples.rundir.layout import RunDirectory
from semples.runtime.cam_files import read_cams
from semples.stages.updates import StageUpdate
from semples.verbs import pipelines

pytestmark = pytest.mark.whole


@pytest.fixture(scope="module")
def generator(tiny_run: Path) -> MaskGenerator:
    return MaskGenerator.from_run(tiny_run, device="cpu")


def photograph(run: Path) -> tuple[str, Path, list[str]]:
    """Id, file and tags of the first training image."""
    from semples.files import read_json

    index = read_json(run / "dataset.json")
    sample = index["train"][0]
    return sample["id"], Path(sample["path"]), [index["classes"][tag] for tag in sample["tags"]]


def test_masks_are_those_of_a_run_with_one_threshold(copied_run: Path) -> None:
    config = load_config(copied_run / "config.yaml", {"pseudo_masks.criterion": "prompts"})
    semples.run(config, copied_run, "pseudo-masks", quiet=True)
    generator = MaskGenerator.from_run(copied_run)
    id, path, tags = photograph(copied_run)
    written = read_mask(RunResult(copied_run).mask(id), None, len(generator.classes))
    mask = generator.mask(path, tags)
    assert mask.dtype == np.uint8
    assert np.array_equal(mask, written)
    assert np.array_equal(generator.mask(read_image(path), tags), written)
    assert np.array_equal(generator.mask(str(path), tags[::-1]), written)


def test_cams_are_those_of_the_run(tiny_run: Path, generator: MaskGenerator) -> None:
    id, path, tags = photograph(tiny_run)
    indices = tuple(sorted(RunResult(tiny_run).classes.index(tag) for tag in tags))
    written, _ = read_cams(RunDirectory(tiny_run), "refine", Sample(id, path, (64, 64), indices))
    maps = generator.cams(path, tags)
    assert list(maps) == tags
    for map, quantized in zip(maps.values(), written, strict=True):
        assert map.dtype == np.float32
        np.testing.assert_allclose(map, quantized / 255, atol=0.5 / 255 + 1e-4)


def test_another_stage_has_other_maps(tiny_run: Path, generator: MaskGenerator) -> None:
    _, path, tags = photograph(tiny_run)
    earlier = MaskGenerator.from_run(str(tiny_run), stage="classify").cams(path, tags[:1])
    assert not np.allclose(earlier[tags[0]], generator.cams(path, tags[:1])[tags[0]], atol=1e-3)


@pytest.mark.parametrize(
    ("image", "tags", "named"),
    [
        (np.zeros((8, 8, 3), np.uint8), ["bout"], ("bout", "boat", "ball", "boat")),
        (np.zeros((8, 8, 3), np.uint8), [], ("tags", "[]", "boat", "ball")),
        (np.zeros((8, 8, 3), np.uint8), "boat", ("tags", "'boat'", "list")),
        (np.zeros((8, 8), np.uint8), ["boat"], ("uint8 [8, 8]", "uint8 [H, W, 3]")),
        (Path("nowhere.jpg"), ["boat"], ("nowhere.jpg",)),
    ],
)
def test_what_is_no_photograph_or_class(
    generator: MaskGenerator, image: Path, tags: list[str], named: Sequence[object]
) -> None:
    with pytest.raises(DataError, match=mentions(*named)):
        generator.mask(image, tags)


def test_what_has_no_generator(tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=mentions(tmp_path, "config.yaml")):
        MaskGenerator.from_run(tmp_path)
    with pytest.raises(ConfigError, match=mentions("segment", "classify", "match", "refine")):
        MaskGenerator.from_run(tiny_run, stage="segment")
    for name in ("config.yaml", "dataset.json"):
        (tmp_path / name).write_bytes((tiny_run / name).read_bytes())
    with pytest.raises(RunError, match=mentions(tmp_path, "refine")):
        MaskGenerator.from_run(tmp_path)


def test_opening_a_generator_writes_nothing(tiny_run: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in tiny_run.rglob("*")}
    MaskGenerator.from_run(tiny_run)
    assert {path: path.stat().st_mtime_ns for path in tiny_run.rglob("*")} == before


def test_results_by_name(tiny_run: Path) -> None:
    result = RunResult(tiny_run)
    assert result.classes == ("boat", "ball")
    assert result.evaluation is not None
    assert 0 <= result.evaluation["pseudo_masks"]["miou"] <= 1
    assert {path.name for path in result.masks.values()} == {
        path.name for path in (tiny_run / "4-pseudo-masks").glob("*.png")
    }
    assert result.report.is_file()
    assert (result.model / "config.json").is_file()
    assert result.stages["3-refine"]["status"] == "done"


def test_results_of_a_run_that_has_none_yet(tmp_path: Path) -> None:
    result = RunResult(tmp_path)
    assert (result.evaluation, result.stages) == (None, {})
    with pytest.raises(DataError, match=mentions(tmp_path, "dataset.json")):
        _ = result.classes


def test_a_pipeline_is_the_verb_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[object, ...]] = []

    def fake_run(*arguments: object) -> Path:
        calls.append(arguments)
        return tmp_path

    monkeypatch.setattr(pipelines, "run", fake_run)
    result = Pipeline(data={"bias": 0.5}, seed=3, out="runs/x").run(until="refine", quiet=True)
    assert result == RunResult(tmp_path)
    config = load_config(overrides={"data.bias": 0.5, "seed": 3})
    assert calls == [(config, Path("runs/x"), "refine", None, True, None)]


def test_settings_of_a_pipeline(tmp_path: Path) -> None:
    file = tmp_path / "photos.yaml"
    file.write_text("seed: 1\nmatch: {epochs: 2, batch_size: 4}\n")
    pipeline = Pipeline(str(file), match={"epochs": 7})
    assert (pipeline.config.seed, pipeline.config.match.epochs, pipeline.config.match.batch_size) == (1, 7, 4)
    assert pipeline.out == Path("runs/photos")
    assert Pipeline().config == Pipeline(Config()).config == Config()
    assert Pipeline().out == Path("runs/scenes")
    assert Pipeline(data={"reader": "folder", "root": "my/boats"}).out == Path("runs/boats")
    with pytest.raises(ConfigError, match=mentions("match.epoch", "epochs")):
        Pipeline(match={"epoch": 7})
    with pytest.raises(ConfigError, match=mentions("seed", "dataclasses.replace")):
        Pipeline(Config(), seed=1)


def test_a_pipeline_tells_of_its_stages_and_leaves_results(tiny_run: Path, tmp_path: Path) -> None:
    """Classification alone, on the scenes of the other run."""
    news: list[StageUpdate] = []
    config = load_config(tiny_run / "config.yaml", {"data.root": str(tiny_run / "scenes")})
    result = Pipeline(config, out=tmp_path / "run").run(until="classify", quiet=True, on_stage=news.append)
    assert [(item.stage, item.status) for item in news] == [("classify", "done")]
    assert list(result.stages) == ["0-classify"]
    assert result.masks == {}


def test_predict_takes_text_for_paths(tiny_run: Path, tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), (90, 120, 200)).save(tmp_path / "sky.png")
    (mask,) = semples.predict(str(tiny_run), str(tmp_path / "sky.png"), str(tmp_path / "out"), quiet=True)
    assert mask == tmp_path / "out" / "sky.png"
    assert read_mask(mask, (30, 40), 2).dtype == np.uint8
