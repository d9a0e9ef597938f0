"""Fixtures shared by all tests."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported: sums have one order, and tests share the cores

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
        if "tiny_run" in getattr(item, "fixturenames", ()):
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


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a few scenes through every stage; not to be changed."""
    from run_files import SMALL, TRAININGS
    from semples.config.loading import load_config

    short = {f"{stage}.epochs": 1 for stage in TRAININGS} | {"data.train_size": 4, "data.val_size": 2}
    return semples.run(load_config(overrides={**SMALL, **short}), tmp_path_factory.mktemp("tiny") / "run", quiet=True)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeApi:
    """A recorder in place of the package's verbs, in an empty folder."""
    fake = FakeApi()
    fake.replace_verbs(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return fake
