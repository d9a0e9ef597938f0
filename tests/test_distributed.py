"""Two processes (gloo) give the results of one: trainings, sums, shares and micro-batches; one error is one line."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from launch import finish, start
from run_files import metrics
from semples.cli import main
from semples.models.layers.batch_norm import allow_single_values
from semples.parallel.batch_norm import SynchronizedBatchNorm, synchronize_batch_norms
from semples.parallel.batches import MicroBatchCollate, ShardedBatchSampler
from semples.parallel.processes import (
    all_gather,
    all_reduce_counts,
    broadcast_flag,
    is_main_process,
    rank,
    shard,
    unshard,
    world_size,
)
from semples.stages.guided import count_pairs, with_pairs
from semples.training.checkpoints import EpochSums
from toy_training import IMAGES, STEPS, Items, Toy, train, weights

pytestmark = pytest.mark.whole

HERE = Path(__file__).parent
TWO_RANKS = [{"RANK": "0", "WORLD_SIZE": "2"}, {"RANK": "1", "WORLD_SIZE": "2"}]


def assert_close(found: Mapping[str, Any], expected: Mapping[str, Any], tolerance: float = 1e-5) -> None:
    assert list(found) == list(expected)
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """Folder of the toy trainings of two processes, and the results of each."""
    folder = tmp_path_factory.mktemp("two")
    status, _, error = finish(start([HERE / "toy_training.py", folder]))
    assert status == 0, error
    return folder, json.loads((folder / "found.json").read_text())


def test_one_process_is_a_world_of_its_own() -> None:
    assert (rank(), world_size(), is_main_process(), broadcast_flag(False)) == (0, 1, True, False)
    assert shard([3, 4]) == [3, 4] == unshard([3, 4])
    assert all_gather("all") == ["all"]
    assert all_reduce_counts(np.array([1, 2])).tolist() == [1, 2]


def test_every_item_is_in_one_share(both: tuple[Path, list[dict[str, Any]]]) -> None:
    for found in both[1]:
        assert found["world"] == 2
        assert found["shares"] == [[0, 2, 4], [1, 3]]
        assert found["unshared"] == [0, 10, 20, 30, 40]
        assert found["summed"] == [2, 1]
        assert found["first"] is True
        assert found["tensors"] == [[0], [0, 1]]
        assert found["order"] == ["0", "1"]


@pytest.mark.parametrize(("name", "norm"), [("plain", False), ("norm", True), ("parts", False)])
def test_two_processes_train_as_one_does(
    name: str, norm: bool, both: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    """Unequal numbers of pairs, a last batch with an image for one process only, and a head without gradients."""
    folder, found = both
    alone = train(tmp_path, norm)
    assert found[0][name] == found[1][name]
    assert_close(found[0][name], weights(alone))
    for line, other in zip(metrics(folder / name), metrics(tmp_path), strict=True):
        assert line["loss"] == pytest.approx(other["loss"], rel=1e-5)
        assert line["figures"]["size"] == pytest.approx(other["figures"]["size"], rel=1e-5)


def test_a_killed_training_of_two_processes_resumes_to_the_same_bits(
    both: tuple[Path, list[dict[str, Any]]],
) -> None:
    folder, found = both
    assert found[0]["killed"] == found[0]["norm"] == found[1]["killed"]
    assert metrics(folder / "killed") == metrics(folder / "norm")


def test_a_loss_that_one_process_sees_stops_all(both: tuple[Path, list[dict[str, Any]]]) -> None:
    first, second = (found["spoilt"] for found in both[1])
    assert first == second
    assert re.match(r".* stage toy is (inf|nan) in epoch 1, step \d .*\b(row-\d, )?row-\d", first)
    assert "row-4" in first


@pytest.mark.parametrize("parts", [2, 3, 100])
def test_micro_batches_add_up_to_their_batch(parts: int, tmp_path: Path) -> None:
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    whole = train(tmp_path / "whole", norm=False)
    assert_close(weights(train(tmp_path / "parts", norm=False, accumulation=parts)), weights(whole))
    losses = [[line["loss"] for line in metrics(tmp_path / name)] for name in ("whole", "parts")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_process_without_an_image_gets_a_placeholder(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = DataLoader(Items(), batch_size=3)
    monkeypatch.setattr("semples.parallel.batches.shard", lambda items: list(items[1::2]))
    monkeypatch.setattr("semples.parallel.batches.world_size", lambda: 2)
    shares = ShardedBatchSampler(loader)
    assert list(shares) == [[1], [4], [6]]
    assert [(shares.global_size(s), shares.local_size(s)) for s in range(3)] == [(3, 1), (3, 1), (1, 0)]
    assert len(shares) == 3
    assert list(ShardedBatchSampler(loader, 4)) == [
        [1, 0],
        [4, 3],
        [6],
    ]  # the other process has 2, 2 and 1 micro-batches


def test_micro_batches_hold_all_images() -> None:
    collate = MicroBatchCollate(list, 2)
    assert [collate(range(images)) for images in (1, 2, 5)] == [[[0]], [[0], [1]], [[0, 2, 4], [1, 3]]]


def test_pairs_index_the_images_of_their_micro_batch() -> None:
    labels = ([1.0, 1.0], [0.0, 1.0], [0.0, 0.0])
    first, second = MicroBatchCollate(with_pairs, 2)([{"labels": torch.tensor(row)} for row in labels])
    assert (first["image_index"].tolist(), first["class_index"].tolist()) == ([0, 0], [0, 1])
    assert (second["image_index"].tolist(), second["class_index"].tolist()) == ([0], [1])
    assert int(count_pairs(first)) == 2


def test_the_terminal_shows_means_of_the_local_share() -> None:
    """The main process of two has two items of six with a loss of 3, and then no item."""
    sums = EpochSums()
    sums.add({("loss", "loss"): torch.tensor(3.0) * 2 / 6, ("share", "share"): torch.tensor(2 / 6)}, 4)
    sums.add({("loss", "loss"): torch.tensor(0.0), ("share", "share"): torch.tensor(0.0)}, 4)
    assert sums.local_means()["loss"]["loss"] == pytest.approx(3)


def test_shared_batch_statistics_of_one_process_are_pytorchs() -> None:
    torch.manual_seed(0)
    theirs = torch.nn.BatchNorm2d(3)
    torch.nn.init.normal_(theirs.weight)
    ours = torch.nn.Sequential(torch.nn.BatchNorm2d(3))
    ours[0].load_state_dict(theirs.state_dict())
    assert [type(norm) for norm in synchronize_batch_norms(ours)] == [SynchronizedBatchNorm]
    x = torch.randn(4, 3, 5, 5)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    outputs = [theirs(inputs[0]), ours(inputs[1])]
    torch.testing.assert_close(outputs[1], outputs[0])
    for output in outputs:
        (output**3).sum().backward()
    torch.testing.assert_close(inputs[1].grad, inputs[0].grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours[0].weight.grad, theirs.weight.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours.state_dict()["0.running_var"], theirs.running_var)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


@pytest.mark.parametrize("shared", [False, True])
def test_a_single_value_per_channel_is_normalized_by_running_statistics_and_does_not_change_them(shared: bool) -> None:
    norms = torch.nn.Sequential(torch.nn.BatchNorm2d(3))
    allow_single_values(norms)
    if shared:
        synchronize_batch_norms(norms)
    torch.manual_seed(0)
    norms(torch.randn(4, 3, 5, 5) + 2)
    learned = {name: value.clone() for name, value in norms.state_dict().items()}
    single = torch.randn(1, 3, 1, 1)
    output = norms(single)
    for name, value in norms.state_dict().items():
        assert torch.equal(value, learned[name])
    assert norms[0].training
    torch.testing.assert_close(output, norms.eval()(single))


def test_an_error_of_one_process_is_one_line_and_ends_all(tmp_path: Path) -> None:
    config = tmp_path / "empty.yaml"
    config.touch()
    status, output, error = finish(start([HERE / "failing_command.py", "run", "--config", config]), 120)
    assert status != 0
    assert output == ""
    assert [line for line in error.splitlines() if line.startswith("semples")] == [
        "semples: error: image 7 is damaged: remove it",
        *(["semples FAILED"] if "semples FAILED" in error else []),
    ]
    assert "exitcode  : 2 " in error


@pytest.mark.parametrize("environment", TWO_RANKS)
def test_without_a_rendezvous_the_error_says_how_to_start(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main(["report", str(tmp_path)]) == 2
    assert (
        capsys.readouterr().err
        == "semples: error: semples report: works in one process only; start it without torchrun\n"
    )
    assert main(["demo", "--out", str(tmp_path / "run"), "--device", "cpu"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("semples: error: WORLD_SIZE is 2")
    assert "torchrun --nproc-per-node 2" in line


def test_the_toy_covers_the_cases() -> None:
    """Batches of 3, 3 and 1, an image without pairs, and steps for a kill in an epoch and between two."""
    assert (IMAGES, STEPS) == (7, 9)
    assert {int(item["pairs"].sum()) for item in map(Items().__getitem__, range(IMAGES))} == {0, 1, 2}
    assert Toy(True).idle.weight.requires_grad
