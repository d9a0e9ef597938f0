"""``torchrun -m semples run`` with two processes (gloo) through every stage, compared with one process."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

import semples
from launch import finish, start
from matching import assert_mentions
from run_files import SMALL, artefacts, digests, metrics, running, stages, statuses, write_settings
from semples.config.loading import load_config
from semples.runtime.setup import open_run
from semples.stages.evaluation import evaluate

SETTINGS = {**SMALL, "data.train_size": 8, **{f"{key}": 3 for key in SMALL if key.endswith(".batch_size")}}
"""Batches of 3, 3 and 2 images: shares of 2 and 1, 2 and 1, 1 and 1."""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def command(folder: Path, out: Path, **changes: object) -> list[str | Path]:
    """Words of ``semples run`` for two processes."""
    config = write_settings(folder / "tiny.yaml", {**SETTINGS, **changes})
    return ["-m", "semples", "run", "--config", config, "--out", out]


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return semples.run(load_config(overrides=SETTINGS), tmp_path_factory.mktemp("one") / "run", quiet=True)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    status, output, error = finish(start(command(folder, folder / "run")), 3000)
    assert status == 0, error
    assert output.count("report: ") == 1
    return folder / "run"


def test_the_losses_are_those_of_one_process(one: Path, two: Path) -> None:
    for line, other in zip(metrics(two), metrics(one), strict=True):
        assert (line["stage"], line["epoch"]) == (other["stage"], other["epoch"])
        assert line["loss"] == pytest.approx(other["loss"], abs=1e-4)
        assert line["parts"] == pytest.approx(other["parts"], abs=1e-4)
        assert line["figures"] == pytest.approx(other["figures"], abs=1e-4)


def test_files_cams_and_masks_are_those_of_one_process(one: Path, two: Path) -> None:
    assert artefacts(two).keys() == artefacts(one).keys()
    for path in sorted(one.glob("*/cams/*.safetensors")):
        cams, others = load_file(path), load_file(two / path.relative_to(one))
        assert np.array_equal(cams["classes"], others["classes"])
        assert np.abs(cams["cams"].astype(int) - others["cams"]).max(initial=0) <= 2
    for path in sorted((one / "4-pseudo-masks").glob("*.png")):
        other = two / path.relative_to(one)
        assert (np.asarray(Image.open(path)) != np.asarray(Image.open(other))).mean() < 0.01


def test_scores_are_exactly_those_that_one_process_finds_in_the_same_files(two: Path) -> None:
    found = (two / "evaluation.json").read_bytes()
    (two / "evaluation.json").unlink()
    evaluate(open_run(load_config(overrides=SETTINGS), two, quiet=True))
    assert (two / "evaluation.json").read_bytes() == found


def test_killed_they_resume_to_the_same_bytes(two: Path, tmp_path: Path) -> None:
    words = command(tmp_path, tmp_path / "run", checkpoint_seconds=0.0)
    for stage in ("0-classify", "3-refine", "5-segment", "6-evaluate"):
        launched = start(words)
        while launched.poll() is None and running(tmp_path / "run") != stage:
            time.sleep(0.01)
        time.sleep(1)
        os.kill(launched.pid, signal.SIGTERM)  # torchrun ends its processes
        launched.communicate(timeout=120)
    status, _, error = finish(start(words), 3000)
    assert status == 0, error
    assert artefacts(tmp_path / "run") == artefacts(two)
    assert metrics(tmp_path / "run") == metrics(two)
    assert set(statuses(tmp_path / "run").values()) == {"done"}


def test_another_number_of_processes_changes_the_digest(two: Path) -> None:
    before = digests(two)
    semples.run(load_config(overrides=SETTINGS), two, until="classify", quiet=True)
    assert digests(two)["0-classify"] != before["0-classify"]


def test_bad_settings_are_one_line(tmp_path: Path) -> None:
    status, _, error = finish(start([*command(tmp_path, tmp_path / "run"), "--evaluation.classes", "[bout]"]), 600)
    assert status != 0
    lines = [line for line in error.splitlines() if line.startswith("semples: ")]
    assert len(lines) == 1
    assert lines[0].startswith("semples: error: ")
    assert_mentions(lines[0], "evaluation.classes", "bout")
    assert "exitcode  : 2 " in error
    assert json.loads(json.dumps(stages(tmp_path / "run"))) == {}
