"""The page of artefacts and what a run leaves: the same files, shapes, types and keys."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from conftest import REPOSITORY
from semples.cli import main
from semples.rundir.layout import STAGES

pytestmark = pytest.mark.whole

PAGE = (REPOSITORY / "docs" / "artefacts.md").read_text(encoding="utf-8")
WILD = {"ID": ".+", "DIGEST": "[0-9a-f]+", "STEP": r"\w+"}
KNOWN_ELSEWHERE = {"4-pseudo-masks/after-STEP/ID.png", "skipped.json"}
"""Left where the tiny run does not go (tests/stages/test_pseudo_masks.py, tests/bad_input/test_skipping.py)."""


def rows() -> dict[str, str]:
    """File pattern -> what it is said to hold, of both tables of files."""
    tables = re.findall(r"\| file \| holds \| read by \|\n\|---\|---\|---\|\n((?:\|.*\n)+)", PAGE)
    cells = [line.strip("| \n").split(" | ") for table in tables for line in table.splitlines()]
    return {pattern: holds for files, holds, _ in cells for pattern in re.findall(r"`([^`]+)`", files)}


ROWS = rows()


def matches(pattern: str, path: str) -> bool:
    parts = re.split(rf"\b({'|'.join(WILD)})\b", pattern)
    return re.fullmatch("".join(WILD.get(part, re.escape(part)) for part in parts), path) is not None


def described(run: Path) -> Iterator[tuple[Path, str]]:
    """Each file of a run, and what the most specific row says of it."""
    for path in sorted(path for path in run.rglob("*") if path.is_file()):
        found = [pattern for pattern in ROWS if matches(pattern, path.relative_to(run).as_posix())]
        assert found, f"docs/artefacts.md does not name {path.relative_to(run)}"
        yield path, ROWS[max(found, key=len)]


def test_every_file_of_a_run_is_on_the_page_and_every_file_of_the_page_in_a_run(tiny_run: Path) -> None:
    left = [path.relative_to(tiny_run).as_posix() for path, _ in described(tiny_run)]
    never = {pattern for pattern in ROWS if not any(matches(pattern, path) for path in left)}
    assert never == KNOWN_ELSEWHERE


def test_tensors_have_the_shapes_and_types_of_the_page(tiny_run: Path) -> None:
    count = 0
    for path, holds in described(tiny_run):
        if path.suffix != ".safetensors" or "[" not in holds:
            continue
        tensors = load_file(path)
        said = re.findall(r"`(\w+)` (\w+) \[([^\]]+)\]", holds)
        assert set(tensors) == {name for name, _, _ in said}, path
        for name, dtype, dimensions in said:
            assert str(tensors[name].dtype) == dtype, path
            assert tensors[name].ndim == dimensions.count(",") + 1, path
        count += 1
    assert count > 10


def test_pictures_have_the_shapes_and_values_of_the_page(tiny_run: Path) -> None:
    for path, holds in described(tiny_run):
        if path.suffix == ".png":
            assert "uint8" in holds, path
            values = np.array(Image.open(path))
            assert values.dtype == np.uint8
            assert values.ndim == (3 if "[H, W, 3]" in holds else 2), path
            if values.ndim == 2 and "grey" not in holds:
                assert set(np.unique(values)) <= {0, 1, 2, 255}, path


@pytest.mark.parametrize("name", ["dataset.json", "manifest.json", "metrics.jsonl", "2-prompts/words.json"])
def test_keys_are_those_of_the_page(tiny_run: Path, name: str) -> None:
    text = (tiny_run / name).read_text()
    records = [json.loads(line) for line in text.splitlines()] if name.endswith(".jsonl") else [json.loads(text)]
    if name == "manifest.json":
        records = list(records[0]["stages"].values())
    named = set(re.findall(r"`(\w+)`", ROWS[name]))
    used = {key for record in records for key in record}
    if name == "dataset.json":
        used |= set(records[0]["train"][0])
    assert used | {"reason", "stages"} == named | {"reason", "stages"}


def test_keys_of_the_evaluation_are_those_of_the_page(tiny_run: Path) -> None:
    section = PAGE.split("### evaluation.json")[1].split("##")[0]
    named = set(re.findall(r"`(\w+)`", section))
    evaluation = json.loads((tiny_run / "evaluation.json").read_text())
    results = [*evaluation["cams"].values(), evaluation["pseudo_masks"], *evaluation["segmentation"].values()]
    used = set(evaluation) | set(evaluation["cams"]) | set(evaluation["segmentation"])
    assert used | {key for result in results for key in result} == named


def test_json_of_a_real_run_has_the_keys_of_the_page(copied_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = copied_run
    assert main(["run", "--config", str(run / "config.yaml"), "--out", str(run), "--json", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    *stages, result = map(json.loads, captured.out.splitlines())
    assert [line["stage"] for line in stages] == list(STAGES)
    assert {line["status"] for line in stages} == {"unchanged"}
    (row,) = re.findall(r"^\| `run`, `demo` \| (.*) \|$", PAGE, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", row)) == {key for line in (*stages, result) for key in line}
    assert result["evaluation"] == json.loads((run / "evaluation.json").read_text())
    assert result["report"] == str(run / "report.html")
