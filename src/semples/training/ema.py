"""Exponential moving average of a module's weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


def decay_at(updates: int, decay: float) -> float:
    """Return the decay of the next update after n updates: min(decay, (1 + n) / (10 + n)).

    The small decay at first lets the average forget the untrained weights quickly (as in TensorFlow's
    ExponentialMovingAverage).
    """
    return min(decay, (1 + updates) / (10 + updates))


class MovingAverage:
    """Average of a module's weights over its steps: ``average <- d * average + (1 - d) * weights``.

    Batch-norm statistics are averaged like weights, so that they belong to the averaged weights rather than to the last
    ones; counters are copied. Frozen parameters are left alone.

    Args:
        module: The module to average, already on its device.
        decay: Largest d (:func:`decay_at`), in [0, 1).
    """

    def __init__(self, module: torch.nn.Module, decay: float) -> None:
        frozen = {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
        # Views of the tensors that the optimizer and the forward pass change in place.
        self._live = {name: value.detach() for name, value in module.state_dict().items() if name not in frozen}
        self._average = {name: value.clone() for name, value in self._live.items()}
        self.decay, self.updates = decay, 0

    @torch.no_grad()
    def update(self) -> None:
        """Add the weights after a step to the average."""
        share = 1 - decay_at(self.updates, self.decay)
        self.updates += 1
        for name, value in self._live.items():
            if value.is_floating_point():
                self._average[name].lerp_(value, share)
            else:
                self._average[name].copy_(value)

    @torch.no_grad()
    def apply(self) -> None:
        """Replace the module's weights with the average."""
        for name, value in self._live.items():
            value.copy_(self._average[name])

    def state_dict(self) -> dict[str, Any]:
        """Return the average as tensors and plain values, for a checkpoint."""
        return {"updates": self.updates, "average": self._average}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the result of :meth:`state_dict`.

        Raises:
            KeyError: The state belongs to another module.
        """
        self.updates = state["updates"]
        for name, value in self._average.items():
            value.copy_(state["average"][name])
