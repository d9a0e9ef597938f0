"""A run directory that version 0.1.0 wrote, before readers and generators owned their settings, is still read."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from semples import MaskGenerator, RunResult, export, load_config, predict, prompts, report
from semples.data.images import read_mask

FIXTURE = Path(__file__).parent.parent / "fixtures" / "run-0.1.0.zip"
PLACEHOLDER = "{HERE}"
"""Where the run was made, in its files."""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run in ``run/``, its models beside it, and in ``expected.json`` what version 0.1.0 read from it."""
    folder = tmp_path_factory.mktemp("old")
    with zipfile.ZipFile(FIXTURE) as archive:
        archive.extractall(folder)
    for path in folder.rglob("*"):
        if path.suffix in (".json", ".jsonl", ".yaml"):
            path.write_text(path.read_text().replace(PLACEHOLDER, str(folder)))
    return folder


@pytest.fixture
def run(unpacked: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(unpacked / "run", tmp_path / "run"))


@pytest.fixture(scope="module")
def expected(unpacked: Path) -> Any:
    return json.loads((unpacked / "expected.json").read_text())


def test_prompts(run: Path, expected: Any) -> None:
    assert {name: [list(pair) for pair in words] for name, words in prompts(run).items()} == expected["prompts"]


def test_export(run: Path, expected: Any) -> None:
    assert json.loads(export(run, "coco").read_text()) == expected["coco"]
    assert (export(run, "voc") / "labelmap.txt").is_file()


def test_predict(run: Path, expected: Any, tmp_path: Path) -> None:
    (mask,) = predict(run, run / "scenes/images/val-00001.png", tmp_path / "masks", overlays=False, quiet=True)
    assert read_mask(mask, None, 2).tolist() == expected["predicted"][mask.stem]


def test_the_mask_generator(run: Path, expected: Any) -> None:
    generator, image = MaskGenerator.from_run(run), run / "scenes/images/train-00002.png"
    cams = generator.cams(image, ["boat", "cat"])
    for name, mean in expected["cam_means"].items():
        assert float(np.mean(cams[name])) == pytest.approx(mean, abs=1e-4)
    assert np.mean(generator.mask(image, ["boat", "cat"]) == np.array(expected["mask"])) > 0.999


def test_results_and_report(run: Path) -> None:
    result = RunResult(run)
    assert result.classes == ("boat", "cat")
    assert len(result.masks) == 4
    assert {entry["status"] for entry in result.stages.values()} == {"done"}
    page = report(run).read_text()
    assert "could not be read" not in page
    assert "CAM + full" in page


def test_its_settings(run: Path) -> None:
    """Old names are translated; settings of other readers and generators are dropped."""
    config = load_config(run / "config.yaml", is_recorded=True)
    settings = config.to_dict()
    assert settings["pixel_adaptive"]["color_scale"] == 0.2
    assert settings["published"] is False
    assert "train_split" not in settings["data"]
    assert "fusion_pool" not in settings["mask_generator"]
