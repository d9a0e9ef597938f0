"""The moving average of weights, by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from semples.training.devices import make_accelerator
from semples.training.ema import MovingAverage, decay_at
from semples.training.loop import StepResult, TrainingOptions, fit
from semples.training.progress import TrainingLog
from test_training import KilledError, Numbers, squared_distance, train_noisy


def test_decay_rises_to_its_limit() -> None:
    assert decay_at(0, 0.99) == pytest.approx(1 / 10)
    assert decay_at(8, 0.99) == pytest.approx(9 / 18)
    assert decay_at(890, 0.99) == pytest.approx(891 / 900)
    assert decay_at(891, 0.99) == decay_at(10**6, 0.99) == 0.99
    assert decay_at(0, 0.05) == 0.05


def one_weight(value: float) -> torch.nn.Linear:
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(module.weight, value)
    return module


def test_three_updates_by_hand() -> None:
    """1; 0.1 * 1 + 0.9 * 3 = 2.8; 2/11 * 2.8 + 9/11 * 5 = 4.6; 0.2 * 4.6 + 0.8 * 0 = 0.92."""
    module = one_weight(1.0)
    average = MovingAverage(module, 0.2)
    for weight, expected in ((3.0, 2.8), (5.0, 4.6), (0.0, 0.92)):
        torch.nn.init.constant_(module.weight, weight)
        average.update()
        assert average.state_dict()["average"]["weight"].item() == pytest.approx(expected)
        assert module.weight.item() == weight  # training continues with the weights themselves
    average.apply()
    assert module.weight.item() == pytest.approx(0.92)


def test_statistics_are_averaged_and_counts_copied() -> None:
    """momentum 0.1: after a batch of mean 10 the running mean is 1, and the average 0.1 * 0 + 0.9 * 1."""
    module = torch.nn.BatchNorm1d(1)
    average = MovingAverage(module, 0.9)
    module(torch.full((4, 1), 10.0))
    average.update()
    average.apply()
    assert module.running_mean is not None
    assert module.num_batches_tracked is not None
    assert module.running_mean.item() == pytest.approx(0.9)
    assert module.num_batches_tracked.item() == 1


def test_frozen_parameters_are_left_alone() -> None:
    module = torch.nn.Sequential(one_weight(1.0), one_weight(2.0))
    module[0].requires_grad_(False)
    assert set(MovingAverage(module, 0.5).state_dict()["average"]) == {"1.weight"}


def test_a_restored_state_continues_like_the_original() -> None:
    first, second = one_weight(1.0), one_weight(7.0)
    average, again = MovingAverage(first, 0.99), MovingAverage(second, 0.99)
    torch.nn.init.constant_(first.weight, 3.0)
    average.update()
    again.load_state_dict(average.state_dict())
    for module, moving in ((first, average), (second, again)):
        torch.nn.init.constant_(module.weight, 5.0)
        moving.update()
        moving.apply()
    assert torch.equal(first.weight, second.weight)
    with pytest.raises(KeyError):
        MovingAverage(torch.nn.Linear(1, 1), 0.9).load_state_dict(average.state_dict())


def test_a_training_ends_with_the_average_of_its_weights() -> None:
    """Four steps; the weights at the start of each are recorded, and the average follows from them by hand."""
    module, noted = one_weight(0.0), []

    def step(module: torch.nn.Module, batch: Mapping[str, Tensor]) -> StepResult:
        noted.append(module.get_parameter("weight").item())
        return squared_distance(module, batch)

    def train(ema: float) -> float:
        torch.nn.init.constant_(module.weight, 0.0)
        noted.clear()
        loader = DataLoader(Numbers(), batch_size=4, generator=torch.Generator())
        accelerator, options = make_accelerator("cpu", "fp32"), TrainingOptions(2, 0.5, 0.0, ema=ema)
        fit("toy", module, step, [(list(module.parameters()), 1.0)], loader, options, accelerator, TrainingLog())
        return module.weight.item()

    last = train(0.0)
    averaged = train(0.2)
    expected = 0.0
    for decay, weight in zip((0.1, 2 / 11, 0.2, 0.2), (*noted[1:], last), strict=True):
        expected = decay * expected + (1 - decay) * weight
    assert averaged == pytest.approx(expected)
    assert averaged != pytest.approx(last)


@pytest.mark.parametrize("kill_at", [0, 7, 14])
def test_a_killed_training_resumes_to_the_same_average(kill_at: int, tmp_path: Path) -> None:
    whole, _ = train_noisy(tmp_path / "whole", seconds=1e9, ema=0.9)
    plain, _ = train_noisy(tmp_path / "plain", seconds=1e9)
    with pytest.raises(KilledError):
        train_noisy(tmp_path / "killed", kill_at, ema=0.9)
    module, _ = train_noisy(tmp_path / "killed", ema=0.9)
    finished, _ = train_noisy(tmp_path / "killed", ema=0.9)  # trained to the end before it was killed
    for name, value in whole.state_dict().items():
        assert torch.equal(module.state_dict()[name], value), name
        assert torch.equal(finished.state_dict()[name], value), name
    assert not torch.equal(whole.last.weight, plain.last.weight)
    assert not torch.equal(whole.get_buffer("norm.running_mean"), plain.get_buffer("norm.running_mean"))
    assert torch.equal(whole.frozen.weight, plain.frozen.weight)
