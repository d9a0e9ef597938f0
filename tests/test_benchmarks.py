"""Every benchmark runs to its last line, one JSON object, at tiny sizes and in this process."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import CLIPConfig

from conftest import REPOSITORY
from sample_data import write_voc
from semples import cli
from semples.data.images import write_mask
from tiny import save_backbone

pytestmark = pytest.mark.whole

FOLDER = REPOSITORY / "benchmarks"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py") if '__name__ == "__main__"' in path.read_text())
ARGUMENTS = {
    "distributed": "--processes 1 --images 4 --batch 2 --epochs 1",
    "flat_cost": "--counts 4",
    "guided_memory": "--model bundled/scenes --images 2 --side 32 --repeats 1",
    "hours": "--measure --repeats 1",
    "photo_cams": "--data DATA --backbone MOBILENET --epochs 1",
    "real_sizes": "--threads 1 --repeats 1",
    "refinement": "--photographs 1 --repeats 1",
    "speed": "--part all --classes 2 --images 1 --pairs 2 --repeats 1",
    "thresholds": "RUN --stages refine --images 2 --stability 1",
    "weaktr_memory": "--image_size 32 --batch 1 --repeats 1 --full",
}
ONE_LAYER = {"num_hidden_layers": 1}
SMALLER: dict[str, dict[str, Any]] = {
    "real_sizes": {
        "BATCH": 2,
        "CLASSES": 4,
        "SIDE": 32,
        "PROMPT_BATCH": 4,
        "CLIPConfig": partial(CLIPConfig, text_config=ONE_LAYER, vision_config=ONE_LAYER),
    },
    "hours": {"SIDE": 32, "SEGMENTATION_SIDE": 64},
    "photo_cams": {"SIDE": 64},
    "refinement": {"SIZE": (24, 32), "GRID": (6, 8)},
}
"""Module -> sizes that it has no option for."""

run_elsewhere = subprocess.run


def start(script: str, words: Sequence[str]) -> str:
    """Run a benchmark with arguments in this process; return what it printed."""
    output, before = io.StringIO(), sys.argv
    sys.argv = [str(FOLDER / f"{script}.py"), *words]
    try:
        with contextlib.redirect_stdout(output):
            importlib.import_module(script).main()
    finally:
        sys.argv = before
    return output.getvalue()


def run_here(command: Sequence[Any], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run in this process what a benchmark would start another Python for: imports take seconds in each."""
    interpreter, *words = map(str, command)
    if interpreter != sys.executable:
        return run_elsewhere(command, **options)
    if words[:2] == ["-m", "semples"]:
        assert cli.main(words[2:]) == 0
        return subprocess.CompletedProcess(words, 0, "")
    return subprocess.CompletedProcess(words, 0, start(Path(words[0]).stem, words[1:]))


@pytest.fixture
def tiny_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    for name, sizes in SMALLER.items():
        for key, value in sizes.items():
            monkeypatch.setattr(importlib.import_module(name), key, value)
    monkeypatch.setattr(subprocess, "run", run_here)


@pytest.fixture(scope="module")
def animals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four training and two held-out photographs of noise in the VOC layout, each a cat (8) or a dog (12)."""
    root = write_voc(tmp_path_factory.mktemp("voc"), {"train_aug": "abcd", "train": "abcd", "val": "ef"})
    for number, name in enumerate("abcdef"):
        write_mask(root / "SegmentationClassAug" / f"{name}.png", np.full((40, 48), (8, 12)[number % 2], np.uint8))
    return root


def test_every_benchmark_is_tried() -> None:
    assert list(ARGUMENTS) == SCRIPTS


@pytest.mark.usefixtures("tiny_sizes")
@pytest.mark.parametrize("script", SCRIPTS)
def test_its_last_line_is_one_json_object(script: str, animals: Path, tiny_run: Path, tmp_path: Path) -> None:
    if script == "refinement":
        pytest.importorskip("pydensecrf", reason='needs pydensecrf2: pip install "semples[crf]"')
    places = {"DATA": animals, "RUN": tiny_run, "MOBILENET": save_backbone(tmp_path / "mobilenet", "mobilenet_v2")}
    printed = start(script, [str(places.get(word, word)) for word in ARGUMENTS[script].split()])
    record = json.loads(printed.splitlines()[-1])
    assert {"commit", "python", "torch", "device"} <= record.keys()
    figures = re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", json.dumps(record))
    assert len(figures) > 10
    assert "NaN" not in json.dumps(record)
