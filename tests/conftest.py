"""Fixtures shared by all tests."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported: sums have one order, and tests share the cores

import shutil
from pathlib import Path

import pytest

import semples
from fake_api import FakeApi

REPOSITORY = Path(__file__).resolve().parent.parent


def find_shared_data() -> Path | None:
    """Folder with real photographs, weights and golden numbers, or None where it is absent."""
    given = os.environ.get("SEMPLES_TEST_DATA")
    candidates = [Path(given)] if given else [REPOSITORY.parent / "shared", REPOSITORY / "shared"]
    return next((path for path in candidates if (path / "data").is_dir()), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that look at a whole run, wherever they are; files of such tests mark themselves."""
    for item in items:
        if {"tiny_run", "plain_run", "unguided_run"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.whole)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests for a GPU where there is none; torch is imported for these alone."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device: run `make test-gpu` on a machine with one")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    found = find_shared_data()
    if found is None:
        pytest.skip(
            "real test data not found: set SEMPLES_TEST_DATA to the folder that holds data/, weights/ and parity/"
        )
    return found


def run_once(folder: pytest.TempPathFactory, settings: str) -> Path:
    """Run every stage with the settings of this name in ``run_files``."""
    import run_files

    return semples.run(run_files.config_from(getattr(run_files, settings)), folder.mktemp("shared") / "run", quiet=True)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with every option, two epochs in each stage and no checkpoint left; not to be changed."""
    return run_once(tmp_path_factory, "SMALL")


@pytest.fixture(scope="session")
def plain_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished guided run with nothing optional; not to be changed."""
    return run_once(tmp_path_factory, "PLAIN")


@pytest.fixture(scope="session")
def unguided_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run without guidance and without a vision-language model; not to be changed."""
    return run_once(tmp_path_factory, "UNGUIDED")


@pytest.fixture
def finished(tiny_run: Path) -> Path:
    """The finished run that a module reads; modules choose another by overriding this fixture."""
    return tiny_run


@pytest.fixture
def copied_run(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeApi:
    """A recorder in place of the package's verbs, in an empty folder."""
    fake = FakeApi()
    fake.replace_verbs(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return fake
