"""The training loop: schedule by hand, convergence, logs, resuming after a kill, and losses that are not finite."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from run_files import metrics
from semples.errors import ConfigError, RunError
from semples.rundir.metrics import EpochMetrics
from semples.training.checkpoints import Checkpoint
from semples.training.devices import make_accelerator, set_seed
from semples.training.loop import StepResult, TrainingOptions, fit
from semples.training.progress import TrainingLog
from semples.training.schedule import learning_rate_factor, polynomial_decay


class Numbers(torch.utils.data.Dataset[dict[str, Tensor]]):
    epoch = -1
    ids = tuple(f"number-{index}" for index in range(8))

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"x": torch.tensor([float(index)]), "index": torch.tensor(index)}


def squared_distance(module: torch.nn.Module, batch: Mapping[str, Tensor]) -> StepResult:
    wrong = module(batch["x"]) - 2 * batch["x"]
    return StepResult({"data": wrong.square().mean()}, {"largest": wrong.abs().max()})


def train(log: TrainingLog, epochs: int = 200, rate: float = 0.2) -> torch.nn.Linear:
    set_seed(0)
    module = torch.nn.Linear(1, 1)
    loader = DataLoader(Numbers(), batch_size=4, shuffle=True, generator=torch.Generator().manual_seed(0))
    groups = [(list(module.parameters()), 1.0)]
    options, accelerator = TrainingOptions(epochs, rate, 0.0), make_accelerator("cpu", "auto")
    fit("toy", module, squared_distance, groups, loader, options, accelerator, log)
    return module


def test_rate_is_linear_then_cosine() -> None:
    assert [learning_rate_factor(step, 10, 0.2) for step in (0, 1)] == [pytest.approx(1 / 3), pytest.approx(2 / 3)]
    assert learning_rate_factor(2, 10, 0.2) == 1.0
    assert learning_rate_factor(6, 10, 0.2) == pytest.approx(0.5)
    assert learning_rate_factor(10, 10, 0.2) == pytest.approx(0.0)
    assert learning_rate_factor(0, 4, 0.0) == 1.0


def test_poly_by_hand() -> None:
    """0.5^0.9 = 0.535887, 0.25^0.9 = 0.287175; warm-up first, as with the cosine."""
    assert [polynomial_decay(done) for done in (0.0, 0.5, 0.75, 1.0)] == pytest.approx(
        [1.0, 0.535887, 0.287175, 0.0], abs=1e-6
    )
    assert polynomial_decay(0.5, 2.0) == 0.25
    assert learning_rate_factor(0, 10, 0.2, "poly") == learning_rate_factor(0, 10, 0.2)
    assert learning_rate_factor(6, 10, 0.2, "poly") == pytest.approx(0.535887, abs=1e-6)
    assert learning_rate_factor(10, 10, 0.2, "poly") == learning_rate_factor(11, 10, 0.2, "poly") == 0.0


def test_it_learns_and_repeats_to_the_bit() -> None:
    first, second = train(TrainingLog()), train(TrainingLog())
    assert first.weight.item() == pytest.approx(2.0, abs=0.05)
    assert torch.equal(first.weight, second.weight)


def test_one_line_per_epoch_and_earlier_lines_of_the_stage_go(tmp_path: Path) -> None:
    log = TrainingLog(tmp_path / "metrics.jsonl")
    log.write(EpochMetrics("other", 1))
    train(log, epochs=2)
    train(log, epochs=3)
    lines = metrics(tmp_path)
    assert [(line["stage"], line["epoch"]) for line in lines] == [("other", 1), ("toy", 1), ("toy", 2), ("toy", 3)]
    assert lines[-1]["loss"] == pytest.approx(lines[-1]["parts"]["data"])
    assert lines[-1]["figures"]["largest"] > 0


def test_the_dataset_gets_the_epoch() -> None:
    dataset = Numbers()
    loader = DataLoader(dataset, batch_size=4)
    module = torch.nn.Linear(1, 1)
    groups = [(list(module.parameters()), 1.0)]
    accelerator = make_accelerator("cpu", "fp32")
    fit("toy", module, squared_distance, groups, loader, TrainingOptions(3, 0.1, 0.0), accelerator, TrainingLog())
    assert dataset.epoch == 2


class KilledError(Exception):
    """Stands for the end of the process."""


class Noisy(torch.nn.Module):
    """Weights, statistics in buffers, a frozen part, and randomness from torch and numpy."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.last, self.frozen = torch.nn.BatchNorm1d(1), torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
        self.frozen.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        value: Tensor = self.last(torch.dropout(self.norm(self.frozen(x)), 0.5, True)) + float(np.random.rand())
        return value


def train_noisy(
    folder: Path, kill_at: int | None = None, seconds: float = 0.0, workers: int = 0, ema: float = 0.0
) -> tuple[Noisy, list[Any]]:
    """Train for five epochs of three steps; ``kill_at`` ends the training at the start of that step."""
    folder.mkdir(exist_ok=True)
    set_seed(0)
    module, begun, history = Noisy(), 0, list[Any]()

    def step(module: torch.nn.Module, batch: Mapping[str, Tensor]) -> StepResult:
        nonlocal begun
        if begun == kill_at:
            raise KilledError
        begun += 1
        return squared_distance(module, batch)

    def after_epoch() -> list[tuple[str, float]]:
        return [("weight", module.last.weight.item())]

    order = torch.Generator().manual_seed(0)
    loader = DataLoader(Numbers(), batch_size=3, shuffle=True, generator=order, num_workers=workers)
    groups = [(list(module.last.parameters()), 1.0), (list(module.norm.parameters()), 0.1)]
    log, checkpoint = TrainingLog(folder / "metrics.jsonl"), Checkpoint(folder / "toy" / "checkpoint.pt", seconds)
    accelerator = make_accelerator("cpu", "fp32")
    options = TrainingOptions(5, 0.1, 0.1, warmup=0.2, ema=ema)
    fit("toy", module, step, groups, loader, options, accelerator, log, checkpoint, after_epoch, history)
    return module, history


@pytest.mark.parametrize("kill_at", [0, 1, 3, 7, 14])
def test_a_killed_training_resumes_to_the_same_bits(kill_at: int, tmp_path: Path) -> None:
    """Kills come mid-epoch, between two epochs, before the first step, and at the last step."""
    whole, words = train_noisy(tmp_path / "whole", seconds=1e9)
    with pytest.raises(KilledError):
        train_noisy(tmp_path / "killed", kill_at)
    with pytest.raises(KilledError):  # and once more, at the step it resumes from
        train_noisy(tmp_path / "killed", 0)
    module, again = train_noisy(tmp_path / "killed")
    for name, value in whole.state_dict().items():
        assert torch.equal(module.state_dict()[name], value), name
    assert again == words
    assert len(words) == 5
    assert metrics(tmp_path / "killed") == metrics(tmp_path / "whole")


def test_workers_change_nothing(tmp_path: Path) -> None:
    whole, _ = train_noisy(tmp_path / "whole")
    with pytest.raises(KilledError):
        train_noisy(tmp_path / "killed", kill_at=4, workers=2)
    module, _ = train_noisy(tmp_path / "killed", workers=1)
    assert torch.equal(module.last.weight, whole.last.weight)


def test_a_finished_training_is_not_repeated(tmp_path: Path) -> None:
    whole, _ = train_noisy(tmp_path)
    again, _ = train_noisy(tmp_path, kill_at=0)
    assert torch.equal(again.last.weight, whole.last.weight)


def test_a_checkpoint_is_saved_when_it_is_due(tmp_path: Path) -> None:
    path = tmp_path / "toy" / "checkpoint.pt"
    with pytest.raises(KilledError):
        train_noisy(tmp_path, kill_at=14, seconds=1e9)
    assert not path.exists()
    with pytest.raises(KilledError):
        train_noisy(tmp_path, kill_at=1, seconds=0)
    assert torch.load(path, weights_only=True)["position"] == (0, 1)
    assert set(torch.load(path, weights_only=True)["module"]).isdisjoint({"frozen.weight", "frozen.bias"})


@pytest.mark.parametrize("spoil", ["delete", "truncate", "garbage"])
def test_without_its_checkpoint_a_training_starts_over_and_says_so(spoil: str, tmp_path: Path) -> None:
    whole, _ = train_noisy(tmp_path / "whole")
    with pytest.raises(KilledError):
        train_noisy(tmp_path / "killed", kill_at=4)
    path = tmp_path / "killed" / "toy" / "checkpoint.pt"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] if spoil == "truncate" else b"no checkpoint")
    if spoil == "delete":
        path.unlink()
    said: list[str] = []
    assert Checkpoint(path).load(said.append) is None
    assert [line.split(":")[0] for line in said] == [f"{path} is {'missing' if spoil == 'delete' else 'damaged'}"]
    module, _ = train_noisy(tmp_path / "killed")
    assert torch.equal(module.last.weight, whole.last.weight)
    assert metrics(tmp_path / "killed") == metrics(tmp_path / "whole")


def test_a_checkpoint_never_runs_code(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    torch.save({"position": KilledError()}, path)
    said: list[str] = []
    assert Checkpoint(path).load(said.append) is None
    assert "is damaged" in said[0]


def test_the_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    train_noisy(tmp_path)
    path = tmp_path / "toy" / "checkpoint.pt"
    torch.save({**torch.load(path, weights_only=True), "optimizer": {}}, path)
    with pytest.raises(RunError, match=r"checkpoint\.pt: the checkpoint does not fit this training .*delete it"):
        train_noisy(tmp_path)


def test_lines_that_a_kill_cut_short_are_dropped(tmp_path: Path) -> None:
    log = TrainingLog(tmp_path / "metrics.jsonl")
    for epoch in (1, 2, 3):
        log.write(EpochMetrics("toy", epoch))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"stage": "other", "ep')
    log.start("toy", epochs=2)
    lines = metrics(tmp_path)
    assert [(line["stage"], line["epoch"]) for line in lines] == [("toy", 1), ("toy", 2)]


def test_a_loss_that_is_not_finite_stops_with_the_setting_to_change() -> None:
    with pytest.raises(RunError, match=r"stage toy is (nan|inf).*toy\.learning_rate"):
        train(TrainingLog(), epochs=3, rate=float("inf"))


def test_a_loss_that_is_not_finite_names_its_batch_and_is_written_nowhere(tmp_path: Path) -> None:
    """Step 2 of epoch 2 is the first that is not finite; the checkpoint before it stays."""

    def step(module: torch.nn.Module, batch: Mapping[str, Tensor]) -> StepResult:
        wrong = module(batch["x"]) - 2 * batch["x"]
        spoiled = (dataset.epoch == 1) & (batch["index"] == 5).any()
        return StepResult({"good": wrong.square().mean(), "bad": torch.where(spoiled, torch.nan, 0.0)})

    dataset = Numbers()
    module = torch.nn.Linear(1, 1)
    loader = DataLoader(dataset, batch_size=4, generator=torch.Generator())
    groups = [(list(module.parameters()), 1.0)]
    checkpoint = Checkpoint(tmp_path / "toy" / "checkpoint.pt", seconds=0)
    log = TrainingLog(tmp_path / "metrics.jsonl")
    options, accelerator = TrainingOptions(3, 0.1, 0.0, section="mine"), make_accelerator("cpu", "fp32")
    with pytest.raises(
        RunError,
        match=r"stage toy is nan in epoch 2, step 2 \(good [\d.]+, bad nan\).* "
        r"number-4, number-5, number-6, number-7\b.* mine\.learning_rate$",
    ):
        fit("toy", module, step, groups, loader, options, accelerator, log, checkpoint)
    assert [line["epoch"] for line in metrics(tmp_path)] == [1]
    assert torch.load(tmp_path / "toy" / "checkpoint.pt", weights_only=True)["position"] == (1, 1)


def test_weights_that_are_not_finite_are_never_kept(tmp_path: Path) -> None:
    """The gradient of the square root at 0 is infinite, and the loss finite."""

    def step(module: torch.nn.Module, batch: Mapping[str, Tensor]) -> StepResult:
        return StepResult({"root": (0 * module(batch["x"])).sqrt().mean()})

    module = torch.nn.Linear(1, 1)
    loader = DataLoader(Numbers(), batch_size=8, generator=torch.Generator())
    groups = [(list(module.parameters()), 1.0)]
    checkpoint = Checkpoint(tmp_path / "toy" / "checkpoint.pt", seconds=0)
    accelerator = make_accelerator("cpu", "fp32")
    with pytest.raises(RunError, match=r"weights of stage toy .*epoch 1, step 1, .*number-7\b.* toy\.learning_rate"):
        fit("toy", module, step, groups, loader, TrainingOptions(1, 0.1, 0.0), accelerator, TrainingLog(), checkpoint)
    assert not (tmp_path / "toy").exists()


def test_a_second_precision_in_one_process_is_refused() -> None:
    make_accelerator("cpu", "fp32")
    with pytest.raises(ConfigError, match="device cpu with precision bf16: "):
        make_accelerator("cpu", "bf16")
