"""Segmentation networks of each family from a config alone: trained, saved, opened again; and what such a config is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import tiny
from semples.errors import ModelError
from semples.inference.label_maps import predict_labels
from semples.models.layers.patches import resize_to_whole_patches
from semples.models.segmentation import (
    Inference,
    SegmentationNetwork,
    _patch_side,
    build_segmentation_network,
    has_weights,
    load_segmentation_network,
)
from semples.stages.segment import _segmentation_step
from semples.training.devices import make_accelerator
from semples.training.loop import TrainingOptions, fit
from semples.training.progress import TrainingLog
from tiny_segmenters import CONFIGS

NAMES = ("boat", "cat")


def save_config(folder: Path, kind: str) -> Path:
    CONFIGS[kind]().save_pretrained(folder)
    return folder


def train_two_steps(network: SegmentationNetwork) -> None:
    """One step on two crops, and one on the single crop that is left."""
    generator = torch.Generator().manual_seed(0)
    batch = {
        "pixels": torch.rand(3, 3, 32, 32, generator=generator),
        "masks": torch.randint(0, 3, (3, 32, 32), generator=generator),
    }
    items = [{key: value[i] for key, value in batch.items()} for i in range(3)]
    loader: DataLoader[Any] = DataLoader(items, batch_size=2, generator=generator)  # type: ignore[arg-type]
    accelerator, options = make_accelerator("cpu", "fp32"), TrainingOptions(1, 1e-2, 0.0, ema=0.9)
    fit(
        "segment",
        network,
        _segmentation_step,
        [(network.parameter_groups()[1], 1.0)],
        loader,
        options,
        accelerator,
        TrainingLog(),
    )


@pytest.mark.parametrize("kind", list(CONFIGS))
def test_from_a_config_to_the_same_prediction_after_saving(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build_segmentation_network(
        str(save_config(tmp_path / "config", kind)), NAMES, 32, Inference((1.0, 1.5), slides=True)
    )
    assert network.parameter_groups()[0] == []  # nothing is pretrained
    before = {name: value.clone() for name, value in network.named_parameters()}
    train_two_steps(network)
    assert any(not torch.equal(before[name], value) for name, value in network.named_parameters())
    network.eval().save(tmp_path / "saved")
    again = load_segmentation_network(tmp_path / "saved")
    assert again.model.config.id2label == {0: "background", 1: "boat", 2: "cat"}
    assert (again.short_side, again.inference) == (32, Inference((1.0, 1.5), slides=True))
    pixels = torch.rand(2, 3, 40, 57)  # no whole number of patches, and no square
    np.testing.assert_array_equal(predict_labels(again, pixels), predict_labels(network, pixels))
    again.inference = Inference()
    labels = predict_labels(again, pixels)
    assert labels.shape == (2, 40, 57)
    assert labels.max() <= 2


def test_a_file_is_a_config_whatever_lies_beside_it(tmp_path: Path) -> None:
    folder = tiny.save_segformer(tmp_path / "whole")
    assert has_weights(str(folder))
    assert not has_weights(str(folder / "config.json"))
    assert not has_weights(str(save_config(tmp_path / "alone", "segformer")))
    torch.manual_seed(1)
    from_file = build_segmentation_network(str(folder / "config.json"), NAMES, 32)
    pretrained = build_segmentation_network(str(folder), NAMES, 32)
    assert from_file.new_modules is None
    assert pretrained.new_modules
    names = [name for name, _ in from_file.named_parameters() if name.endswith("proj.weight")]
    assert not torch.equal(from_file.get_parameter(names[0]), pretrained.get_parameter(names[0]))


def test_weights_of_another_format_are_no_config(tmp_path: Path) -> None:
    folder = save_config(tmp_path / "old", "segformer")
    (folder / "pytorch_model.bin").write_bytes(b"")
    assert has_weights(str(folder))
    assert has_weights("nobody/on-the-hub")
    with pytest.raises(ModelError, match=rf"cannot load {folder}: "):
        build_segmentation_network(str(folder), NAMES, 32)


def test_a_config_of_something_else_is_told(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "convnext"}))
    with pytest.raises(ModelError, match=r"cannot build a model from the config .*config.json: "):
        build_segmentation_network(str(path), NAMES, 32)
    path.write_text("{")
    with pytest.raises(ModelError, match=rf"cannot build a model from the config {tmp_path}: "):
        build_segmentation_network(str(tmp_path), NAMES, 32)


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"scales": [], "slide": false}', '{"scales": [0], "slide": false}', '{"scales": [1], "slide": 1}'],
)
def test_a_spoiled_inference_file_is_told(text: str, tmp_path: Path) -> None:
    save_network(tmp_path)
    (tmp_path / "inference.json").write_text(text)
    with pytest.raises(ModelError, match=rf"inference\.json: {re.escape(repr(text))} .*delete it"):
        load_segmentation_network(tmp_path)


def test_a_folder_without_inference_file_predicts_whole_images_once(tmp_path: Path) -> None:
    save_network(tmp_path)
    (tmp_path / "inference.json").unlink()
    assert load_segmentation_network(tmp_path).inference == Inference((1.0,), slides=False)


def save_network(folder: Path) -> None:
    save_config(folder, "segformer")
    build_segmentation_network(str(folder / "config.json"), NAMES, 32).save(folder)


def test_sides_become_whole_patches() -> None:
    def size(patch: object, height: int, width: int) -> tuple[int, ...]:
        side = _patch_side(SimpleNamespace(patch_size=patch))
        pixels, grid = resize_to_whole_patches(torch.zeros(1, 3, height, width), side)
        assert (grid[0] * side, grid[1] * side) == pixels.shape[2:]
        return tuple(pixels.shape[2:])

    assert size(16, 32, 48) == (32, 48)
    assert size(16, 39, 41) == (32, 48)
    assert size(16, 3, 100) == (16, 96)
    assert size([3, 3], 39, 41) == (39, 41)


def test_antialiasing_smooths_images_that_shrink() -> None:
    """Without it, 4 columns are read at (i + 0.5) * 4 / 3 - 0.5 for 3, the last one at 2.8333."""
    edge = torch.tensor([0.0, 0.0, 0.0, 1.0]).expand(1, 1, 3, 4)
    plain, _ = resize_to_whole_patches(edge, 3, antialias=False)
    smooth, _ = resize_to_whole_patches(edge, 3)
    assert plain[0, 0, 0].tolist() == pytest.approx([0.0, 0.0, 0.8333], abs=1e-4)
    assert not torch.allclose(plain, smooth, atol=1e-2)
