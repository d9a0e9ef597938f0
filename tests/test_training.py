"""The training loop: schedule by hand, convergence, logs, and a loss that is not finite."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from semples.errors import RunError
from semples.training import Fitting, StepResult, TrainingLog, fit, make_accelerator, rate_at, set_seed

torch.set_num_threads(1)


class Numbers(torch.utils.data.Dataset[dict[str, Tensor]]):
    epoch = -1

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"x": torch.tensor([float(index)])}


def squared_distance(module: torch.nn.Module, batch: Mapping[str, Tensor]) -> StepResult:
    wrong = module(batch["x"]) - 2 * batch["x"]
    return StepResult({"data": wrong.square().mean()}, {"largest": wrong.abs().max()})


def train(log: TrainingLog, epochs: int = 200, rate: float = 0.2) -> torch.nn.Linear:
    set_seed(0)
    module = torch.nn.Linear(1, 1)
    loader = DataLoader(Numbers(), batch_size=4, shuffle=True, generator=torch.Generator().manual_seed(0))
    groups = [(list(module.parameters()), 1.0)]
    fit(
        "toy",
        module,
        squared_distance,
        groups,
        loader,
        Fitting(epochs, rate, 0.0),
        make_accelerator("cpu", "auto"),
        log,
    )
    return module


def test_rate_is_linear_then_cosine() -> None:
    assert [rate_at(step, 10, 0.2) for step in (0, 1)] == [pytest.approx(1 / 3), pytest.approx(2 / 3)]
    assert rate_at(2, 10, 0.2) == 1.0
    assert rate_at(6, 10, 0.2) == pytest.approx(0.5)
    assert rate_at(10, 10, 0.2) == pytest.approx(0.0)
    assert rate_at(0, 4, 0.0) == 1.0


def test_it_learns_and_repeats_to_the_bit() -> None:
    first, second = train(TrainingLog()), train(TrainingLog())
    assert first.weight.item() == pytest.approx(2.0, abs=0.05)
    assert torch.equal(first.weight, second.weight)


def test_one_line_per_epoch_and_earlier_lines_of_the_stage_go(tmp_path: Path) -> None:
    log = TrainingLog(tmp_path / "metrics.jsonl")
    log.write(stage="other", epoch=1)
    train(log, epochs=2)
    train(log, epochs=3)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["stage"], line["epoch"]) for line in lines] == [("other", 1), ("toy", 1), ("toy", 2), ("toy", 3)]
    assert lines[-1]["loss"] == pytest.approx(lines[-1]["parts"]["data"])
    assert lines[-1]["figures"]["largest"] > 0


def test_the_dataset_is_told_the_epoch() -> None:
    dataset = Numbers()
    loader = DataLoader(dataset, batch_size=4)
    module = torch.nn.Linear(1, 1)
    groups = [(list(module.parameters()), 1.0)]
    accelerator = make_accelerator("cpu", "fp32")
    fit("toy", module, squared_distance, groups, loader, Fitting(3, 0.1, 0.0), accelerator, TrainingLog())
    assert dataset.epoch == 2


def test_a_loss_that_is_not_finite_stops_with_the_setting_to_change() -> None:
    with pytest.raises(RunError, match=r"loss of stage toy is (nan|inf).*lower toy.learning_rate"):
        train(TrainingLog(), epochs=3, rate=float("inf"))
