"""Segmentation networks of each family from a config alone: trained, saved, opened again; and what such a config is."""

from __future__ import annotations

import json
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
from semples.models.segmentation import (
    Inference,
    SegmentationNetwork,
    _whole_patches,
    build_segmentation_network,
    has_weights,
    load_segmentation_network,
)
from semples.stages.segment import _step
from semples.training.devices import make_accelerator
from semples.training.loop import TrainingOptions, fit
from semples.training.progress import TrainingLog
from tiny_segmenters import CONFIGS

torch.set_num_threads(1)
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
    fit("segment", network, _step, [(network.parameter_groups()[1], 1.0)], loader, options, accelerator, TrainingLog())


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
    with pytest.raises(ModelError, match="cannot load"):
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
    with pytest.raises(ModelError, match=r"inference.json does not say how to predict, .* delete it to predict at"):
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
        return tuple(_whole_patches(torch.zeros(1, 3, height, width), SimpleNamespace(patch_size=patch)).shape[2:])

    assert size(16, 32, 48) == (32, 48)
    assert size(16, 39, 41) == (32, 48)
    assert size(16, 3, 100) == (16, 96)
    assert size([3, 3], 39, 41) == (39, 41)
