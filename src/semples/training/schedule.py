"""Learning-rate schedules: a linear warm-up, then a fall to 0."""

from __future__ import annotations

import math
from typing import Literal

Schedule = Literal["cosine", "poly"]


def learning_rate_factor(step: int, steps: int, warmup: float, schedule: Schedule = "cosine") -> float:
    """Return the factor on the peak learning rate.

    Args:
        step: Number of steps done.
        steps: Number of steps of the training.
        warmup: Share of the steps over which the rate rises linearly.
        schedule: How it falls to 0 after that.
    """
    rising = warmup * steps
    if step < rising:
        return (step + 1) / (rising + 1)
    done = min(1.0, (step - rising) / max(1, steps - rising))
    return polynomial_decay(done) if schedule == "poly" else 0.5 * (1 + math.cos(math.pi * done))


def polynomial_decay(done: float, power: float = 0.9) -> float:
    """Fall from 1 to 0, (1 - done)^power, with the share of the steps done, in [0, 1] (DeepLab)."""
    return float((1 - done) ** power)
