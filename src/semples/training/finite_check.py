"""Stops a training whose loss or weights are not finite, without making every step wait for the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from semples.errors import RunError
from semples.parallel.processes import all_gather
from semples.training.checkpoints import TrainingState
from semples.training.step import LossParts, MicroBatchResult


class FiniteCheck:
    """Finds the first step whose loss is not finite; only :meth:`check` waits for the device.

    Args:
        stage: Name of the stage, for the error.
        module: The module in training.
        section: Section of the settings whose learning rate the error advises to lower.
        ids: Name of each image, by its ``index`` in the data set; None if there are no names.
    """

    def __init__(self, stage: str, module: torch.nn.Module, section: str, ids: Sequence[str] | None) -> None:
        self.stage, self.module, self.section, self.ids = stage, module, section, ids
        self._steps: list[tuple[str, Tensor, LossParts, Tensor | None]] = []

    def add(self, state: TrainingState, results: Sequence[MicroBatchResult]) -> None:
        """Record the step just done."""
        where = f"epoch {state.epoch + 1}, step {state.step}"
        for result in results:
            parts = {name: part.detach() for name, part in result.result.parts.items()}
            self._steps.append((where, result.loss, parts, result.index))

    def check(self) -> None:
        """Examine the losses of the steps since the last check, and the weights now.

        Raises:
            RunError: A loss or a weight is not finite, in any process.
        """
        problems = [problem for problem in all_gather(self._problem()) if problem is not None]
        if problems:
            raise RunError(min(problems)[1])

    def _problem(self) -> tuple[int, str] | None:
        """Return the position of this process's first bad step since the last check, and the error's text."""
        steps, self._steps = self._steps, []
        if not steps:
            return None
        finite = torch.stack([loss for _, loss, _, _ in steps]).isfinite().tolist()
        if not all(finite):
            first = finite.index(False)
            where, loss, parts, index = steps[first]
            values = ", ".join(f"{name} {float(part):g}" for name, part in parts.items())
            return first, self._describe(
                f"the loss of stage {self.stage} is {float(loss)} in {where} ({values})", index
            )
        trained = (parameter for parameter in self.module.parameters() if parameter.requires_grad)
        if not all(bool(parameter.isfinite().all()) for parameter in trained):
            where, _, _, index = steps[-1]
            problem = f"weights of stage {self.stage} are not finite after {where}, although its loss is"
            return len(steps), self._describe(problem, index)
        return None

    def _describe(self, problem: str, index: Tensor | None) -> str:
        batch = ""
        if index is not None and self.ids is not None:
            batch = f"; its batch: {', '.join(self.ids[i] for i in index.tolist())}"
        return f"{problem}{batch}: lower {self.section}.learning_rate"
