"""WeakTr through stages 0 to 3: it trains as a whole, then its head alone, with masks in the range of its CAMs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import semples
from run_files import TINY
from semples.config.loading import load_config
from semples.method import masks
from semples.runtime import regions
from semples.stages import guided
from tiny import save_backbone

pytestmark = pytest.mark.whole


def test_it_runs_through_the_guided_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    divided: list[bool] = []

    def note(*arguments: Any, **options: Any) -> Tensor:
        divided.append(arguments[5])
        return masks.soft_masks(*arguments, **options)

    monkeypatch.setattr(guided, "soft_masks", note)
    monkeypatch.setattr(regions, "soft_masks", note)
    settings = {
        **TINY,
        "data.val_size": 1,
        "data.image_size": 50,
        "cams.scales": [0.5, 1.0, 1.5],
        "mask_generator.name": "weaktr",
        "mask_generator.backbone": str(save_backbone(tmp_path / "vit", "vit")),
        "mask_generator.freeze_backbone": False,
        "mask_generator.image_size": 32,
        "prompts.views": 2,
        **{f"{stage}.batch_size": 3 for stage in ("classify", "match", "prompts", "refine")},
    }
    run = semples.run(load_config(overrides=settings), tmp_path / "run", until="refine", quiet=True)
    classified, refined = (load_file(run / f / "mask_generator.safetensors") for f in ("0-classify", "3-refine"))
    moved = {name for name in classified if not torch.equal(classified[name], refined[name])}
    assert moved
    assert all(name.startswith(("head.", "fusion.")) for name in moved)
    assert {name for name in classified if name.startswith("head.")} <= moved
    tokens = classified["trunk.class_tokens"]
    assert not torch.equal(tokens[0], tokens[1])  # copies at the start, they part in stage 0
    assert divided
    assert not any(divided)
