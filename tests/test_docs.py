"""What the documentation promises is run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from conftest import REPOSITORY
from semples import api
from semples.models.mask_generators import BY_NAME, mask_generator_class
from semples.models.vision_language import KINDS
from semples.settings import SETTING_KEYS, load_config

torch.set_num_threads(1)
EXTENDING = (REPOSITORY / "docs" / "extending.md").read_text(encoding="utf-8")

SMALL = {
    "data.train_size": 6,
    "data.val_size": 2,
    "data.image_size": 64,
    "data.pairs": {"boat": "water", "ball": "grass"},
    "mask_generator.image_size": 64,
    "cams.scales": [1.0],
    **{f"{stage}.epochs": 1 for stage in ("classify", "match", "prompts", "refine")},
    "device": "cpu",
}


def test_the_generator_of_the_page_runs_through_the_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", EXTENDING, re.DOTALL)
    (name,) = re.findall(r"--mask_generator\.name (\S+)", EXTENDING)
    (tmp_path / f"{name.split('.')[0]}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    run = api.run(load_config(overrides={**SMALL, "mask_generator.name": name}), tmp_path / "run", "refine", quiet=True)
    stages = json.loads((run / "manifest.json").read_text())["stages"]
    assert [stages[stage]["status"] for stage in ("0-classify", "1-match", "2-prompts", "3-refine")] == ["done"] * 4
    first, last = ((run / stage / "mask_generator.safetensors").read_bytes() for stage in ("0-classify", "3-refine"))
    assert first != last


def test_the_page_names_every_kind_of_vision_language_model() -> None:
    assert re.findall(r"^\| `(\w+)` \|", EXTENDING, re.MULTILINE) == list(KINDS)


@pytest.mark.parametrize("page", sorted((REPOSITORY / "docs").glob("*.md")), ids=lambda path: path.name)
def test_settings_that_a_page_names_exist(page: Path) -> None:
    sections = {key.split(".")[0] for key in SETTING_KEYS if "." in key}
    named = re.findall(r"`(?:--)?(\w+\.\w+)[^`.(]*`", page.read_text(encoding="utf-8"))
    settings = [key for key in named if key.split(".")[0] in sections and not key.endswith((".safetensors", ".json"))]
    assert [key for key in settings if key not in SETTING_KEYS] == []


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_every_named_generator_exists(name: str) -> None:
    assert mask_generator_class(name).__module__.startswith("semples.models")
