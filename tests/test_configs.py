"""Every recipe in configs/ loads, and names no setting that does not exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import REPOSITORY
from semples.settings import config_to_yaml, load_config


@pytest.mark.parametrize("path", sorted((REPOSITORY / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_it_loads_and_survives_a_round_trip(path: Path, tmp_path: Path) -> None:
    config = load_config(path)
    written = tmp_path / "again.yaml"
    written.write_text(config_to_yaml(config))
    assert load_config(written) == config
