"""A training of milliseconds with everything that processes share, and a program that runs it in several processes."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from semples.errors import RunError
from semples.models.layers.batch_norm import allow_single_values
from semples.parallel.processes import (
    all_gather,
    all_reduce_sum,
    barrier,
    broadcast_flag,
    main_process_first,
    process_group,
    rank,
    shard,
    unshard,
    world_size,
)
from semples.training.checkpoints import Checkpoint
from semples.training.devices import make_accelerator, set_seed
from semples.training.loop import StepResult, TrainingOptions, fit
from semples.training.progress import TrainingLog

torch.set_num_threads(1)

IMAGES, BATCH, EPOCHS = 7, 3, 3
STEPS = EPOCHS * 3


class KilledError(Exception):
    """Stands for the end of all processes."""


class Items(Dataset[dict[str, Tensor]]):
    """Seven rows; row i has i % 3 pairs, so that shares have different weights, some of them 0."""

    ids = tuple(f"row-{index}" for index in range(IMAGES))

    def __init__(self) -> None:
        self.rows = torch.randn(IMAGES, 4, generator=torch.Generator().manual_seed(1))

    def __len__(self) -> int:
        return IMAGES

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        pairs = torch.arange(2) < index % 3
        return {"x": self.rows[index], "pairs": pairs.float(), "index": torch.tensor(index)}


class Toy(nn.Module):
    """A frozen layer, optional batch statistics, a head, and a head that no loss depends on.

    The statistics have one value per image, so that a share of one image, and the last batch, have no spread.
    """

    def __init__(self, norm: bool) -> None:
        super().__init__()
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.norm = nn.BatchNorm1d(4) if norm else nn.Identity()
        allow_single_values(self.norm)
        self.head, self.idle = nn.Linear(4, 2), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.norm(self.frozen(x))
        return self.head(features), self.idle(features)


def step(module: nn.Module, batch: Mapping[str, Tensor]) -> StepResult:
    """Return losses that are means over the pairs."""
    output, _ = module(batch["x"])
    losses = (output - batch["x"][:, :2]).square() * batch["pairs"]
    total = batch["pairs"].sum().clamp(min=1)
    return StepResult({"square": losses.sum() / total}, {"size": (output.abs() * batch["pairs"]).sum() / total})


def train(folder: Path, norm: bool, accumulation: int = 1, kill_at: int | None = None, spoil: int | None = None) -> Toy:
    """Train from the checkpoint in the folder, if there is one; ``spoil`` names the row whose loss is not finite.

    With batch statistics the weights are those of a moving average.
    """
    set_seed(0)
    module, begun = Toy(norm), 0

    def counted(module: nn.Module, batch: Mapping[str, Tensor]) -> StepResult:
        nonlocal begun
        begun += 1
        if begun == kill_at:
            raise KilledError
        result = step(module, batch)
        return result if spoil not in batch["index"].tolist() else StepResult({"square": result.parts["square"] / 0})

    loader = DataLoader(Items(), BATCH, shuffle=True, generator=torch.Generator().manual_seed(0))
    trained = [p for p in module.parameters() if p.requires_grad]
    log = TrainingLog(folder / "metrics.jsonl" if rank() == 0 else None)
    options = TrainingOptions(EPOCHS, 0.05, 0.1, ema=0.9 if norm else 0.0, accumulation=accumulation)
    accelerator, checkpoint = make_accelerator("cpu", "fp32"), Checkpoint(folder / "toy" / "checkpoint.pt", 0)
    groups = [(trained, 1.0)]
    fit("toy", module, counted, groups, loader, options, accelerator, log, checkpoint, count=lambda b: b["pairs"].sum())
    return module


def weights(module: nn.Module) -> dict[str, list[Any]]:
    """Return the state of a module as plain values."""
    return {name: value.tolist() for name, value in module.state_dict().items()}


def killed_and_resumed(folder: Path) -> dict[str, list[Any]]:
    """Return the weights of a training that was killed at two steps and resumed."""
    for kill_at in (2, 4):
        try:
            train(folder, norm=True, kill_at=kill_at)
        except KilledError:
            barrier()
    return weights(train(folder, norm=True))


def error_about_row(folder: Path) -> str:
    """Return the error about a loss that only one process sees."""
    try:
        train(folder, norm=False, spoil=4)
    except RunError as error:
        return str(error)
    return ""


def order_of_entry(folder: Path) -> list[str]:
    """Return the ranks in the order in which they entered a block."""
    with main_process_first(), (folder / "order.txt").open("a") as file:
        file.write(f"{rank()}\n")
    barrier()
    return (folder / "order.txt").read_text().split()


def main(folder: Path) -> None:
    """Do everything in one of several processes; the main process writes the results of all."""
    with process_group(on_cpu=True):
        for name in ("plain", "norm", "parts", "killed", "spoilt"):
            (folder / name).mkdir(exist_ok=True)
        found = {
            "world": world_size(),
            "shares": all_gather(shard(range(5))),
            "unshared": unshard([10 * item for item in shard(range(5))]),
            "summed": all_reduce_sum(torch.tensor([1, rank()])).tolist(),
            "first": broadcast_flag(rank() == 0),
            "tensors": [value.tolist() for value in all_gather(torch.arange(rank() + 1))],
            "order": order_of_entry(folder),
            "plain": weights(train(folder / "plain", norm=False)),
            "norm": weights(train(folder / "norm", norm=True)),
            "parts": weights(train(folder / "parts", norm=False, accumulation=2)),
            "killed": killed_and_resumed(folder / "killed"),
            "spoilt": error_about_row(folder / "spoilt"),
        }
        everyones = all_gather(found)
        if rank() == 0:
            (folder / "found.json").write_text(json.dumps(everyones))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
