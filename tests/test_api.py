"""Verbs as functions: scoring two folders, and their errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import semples
from matching import mentions
from semples.data.images import write_mask
from semples.errors import DataError


def write(folder: Path, name: str, rows: list[list[int]]) -> None:
    write_mask(folder / f"{name}.png", np.array(rows, np.uint8))


def test_two_folders_by_hand(tmp_path: Path) -> None:
    """Class a: TP 1, FP 1, FN 1; class b: TP 1; background: TP 2, FP 1, FN 1; one truth pixel is 255."""
    write(tmp_path / "truth", "x", [[0, 0, 1], [0, 1, 255]])
    write(tmp_path / "predicted", "x", [[0, 0, 1], [1, 0, 1]])
    write(tmp_path / "truth", "deep/y", [[2]])
    write(tmp_path / "predicted", "deep/y", [[2]])
    scores = semples.evaluate(tmp_path / "predicted", tmp_path / "truth", ["a", "b"])
    assert scores["iou"] == {"background": pytest.approx(0.5), "a": pytest.approx(1 / 3), "b": 1.0}
    assert scores["miou"] == pytest.approx((1 / 2 + 1 / 3 + 1) / 3)
    assert scores["false_positive"] == pytest.approx((1 / 3 + 0) / 2)
    assert scores["per_class"]["a"]["false_negative"] == pytest.approx(1 / 3)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=mentions(tmp_path / "nowhere", "PNG")):
        semples.evaluate(tmp_path / "nowhere", tmp_path, ["a"])
    write(tmp_path / "truth", "x", [[0]])
    (tmp_path / "predicted").mkdir()
    with pytest.raises(DataError, match=mentions("predicted/x.png", "truth/x.png")):
        semples.evaluate(tmp_path / "predicted", tmp_path / "truth", ["a"])


def test_sizes_have_to_agree(tmp_path: Path) -> None:
    write(tmp_path / "truth", "x", [[0, 1]])
    write(tmp_path / "predicted", "x", [[0], [1]])
    with pytest.raises(DataError, match=mentions("x.png", "2 x 1", "1 x 2")):
        semples.evaluate(tmp_path / "predicted", tmp_path / "truth", ["a"])


@pytest.mark.parametrize("verb", [semples.report, semples.prompts])
def test_a_folder_that_is_no_run(verb: object, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=mentions(tmp_path)):
        verb(tmp_path)  # type: ignore[operator]


IMPORT_EVERYTHING = """
import importlib, pkgutil, semples
for module in pkgutil.walk_packages(semples.__path__, "semples."):
    if module.name != "semples.__main__":
        importlib.import_module(module.name)
"""


@pytest.mark.whole
@pytest.mark.parametrize("first", ["", IMPORT_EVERYTHING], ids=["at once", "after every module"])
def test_public_names_are_callable(first: str) -> None:
    """A module must never take the place of a function: ``from semples import report`` is the verb."""
    code = f"{first}\nimport semples\nprint(*(callable(getattr(semples, name)) for name in semples.__all__))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["True"] * len(semples.__all__)


def test_paths_may_be_text(copied_run: Path, tmp_path: Path) -> None:
    config = tmp_path / "my.yaml"
    config.write_text("seed: 3\n")
    assert semples.load_config(str(config)).seed == 3
    run = semples.run(semples.load_config(str(copied_run / "config.yaml")), str(copied_run), quiet=True)
    assert run == copied_run
    assert semples.report(str(run)) == run / "report.html"
    for verb in (semples.prompts, semples.report):
        with pytest.raises(DataError):
            verb(str(tmp_path))


def test_the_package_itself_is_light() -> None:
    code = "import sys, semples; print('torch' in sys.modules, semples.__version__ > '')"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False True\n"


def test_another_name_is_told() -> None:
    with pytest.raises(AttributeError, match=mentions("runn", *semples.__all__[:5])):
        _ = semples.runn
