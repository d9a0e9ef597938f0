"""Shared parts of the scripts that train the bundled models: options, scenes, training loop, accuracy, saving."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from corpus import Captioned
from rendering import read_or_draw


def build_parser(
    description: str | None, *, scenes: int, epochs: int, batch: int, lr: float
) -> argparse.ArgumentParser:
    """Return a parser with the options of all trainings."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the trained model, written after each epoch")
    parser.add_argument("--cache", type=Path, default=Path("runs/corpus"), help="folder that keeps the drawn scenes")
    parser.add_argument("--scenes", type=int, default=scenes)
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--lr", type=float, default=lr)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="end after this many minutes, on a faster schedule"
    )
    return parser


def read_scenes(args: argparse.Namespace, size: int) -> tuple[Captioned, Captioned]:
    """Return scenes to train on, and 2,000 held-out ones; ``size`` is their side in pixels."""
    corpus = read_or_draw(args.cache, args.scenes, size, first_seed=0)
    return corpus, read_or_draw(args.cache, 2_000, size, first_seed=10_000_000)


def optimize(
    parameters: Iterable[nn.Parameter],
    compute_loss: Callable[[NDArray[np.int64], float], Tensor],
    after_epoch: Callable[[], None],
    args: argparse.Namespace,
    rng: np.random.Generator,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    warm_up: float = 0.1,
) -> None:
    """Train with AdamW, warm-up and cosine schedule; print the running loss every 100 steps.

    Args:
        parameters: Parameters to train.
        compute_loss: Returns the loss of scenes, given their indices int64 [B] and the completed share of the training.
        after_epoch: Called after every epoch, and at the end.
        args: Options of :func:`build_parser`.
        rng: Source of the order of the scenes.
        betas: Coefficients of AdamW.
        warm_up: Share of the steps during which the learning rate rises.
    """
    parameters = list(parameters)
    per_epoch = args.scenes // args.batch
    steps = args.epochs * per_epoch
    optimizer = torch.optim.AdamW(parameters, lr=args.lr, betas=betas, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, total_steps=steps, pct_start=warm_up)
    started, step, progress, running = time.time(), 0, 0.0, 0.0
    while progress < 1:
        position = step % per_epoch
        if position == 0:
            order = rng.permutation(args.scenes)
        loss = compute_loss(order[position * args.batch : (position + 1) * args.batch], progress)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        running = loss.item() if step == 0 else 0.98 * running + 0.02 * loss.item()
        step, minutes = step + 1, (time.time() - started) / 60
        progress = min(1.0, max(step / steps, minutes / args.minutes))
        # Under a limit of time the schedule advances several steps at once.
        for _ in range(schedule.last_epoch, round(progress * steps)):
            schedule.step()
        if step % 100 == 0:
            print(f"step {step}, {progress:.0%}, loss {running:.4f}, {minutes:.1f} minutes", flush=True)
        if position == per_epoch - 1 or progress == 1:
            after_epoch()


def balanced_accuracy(answers: NDArray[np.bool_], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the mean of sensitivity and specificity [words] of yes-or-no answers bool [N, words]."""
    sensitivity = (answers & truth).sum(0) / truth.sum(0)
    specificity = (~answers & ~truth).sum(0) / (~truth).sum(0)
    return np.asarray((sensitivity + specificity) / 2)


def save_model(model: Any, processor: type[Any], image_size: int, out: Path) -> None:
    """Write a transformers folder: weights as float16, and a processor that normalizes [0, 1] to [-1, 1]."""
    state = {name: value.half() if value.is_floating_point() else value for name, value in model.state_dict().items()}
    model.save_pretrained(out, state_dict=state)
    half, size = [0.5, 0.5, 0.5], {"height": image_size, "width": image_size}
    processor(size=size, image_mean=half, image_std=half, resample=2).save_pretrained(out)
