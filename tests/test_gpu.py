"""The pipeline on a GPU: the same results as on the CPU, as far as rounding allows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import semples
from run_files import SMALL, config_from, metrics


@pytest.mark.gpu
def test_stage_0_is_that_of_the_cpu(tmp_path: Path) -> None:
    """Losses of both epochs, and CAMs in 1/255, of equal seeds."""
    losses, maps = [], []
    for device in ("cpu", "cuda"):
        config = config_from(SMALL, device=device, precision="fp32")
        run = semples.run(config, tmp_path / device, until="classify", quiet=True)
        losses.append([line["loss"] for line in metrics(run)])
        files = sorted((run / "0-classify" / "cams").glob("*.safetensors"))
        maps.append(np.concatenate([load_file(file)["cams"].ravel() for file in files]).astype(float))
    assert len(losses[0]) == 2
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)
    assert np.abs(maps[0] - maps[1]).mean() < 4
    assert np.corrcoef(maps[0], maps[1])[0, 1] > 0.99
