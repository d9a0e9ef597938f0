"""Means computed part by part equal those of one pass, gradients included."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from semples.method.losses import total
from semples.training.parts import mean_in_parts
from semples.training.step import StepResult


def squares(items: Tensor, rows: slice) -> StepResult:
    """Means of w x^2 and 3 x, and of x as a figure."""
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])[rows]
    parts = {"squares": (weights * items**2).mean(), "linear": (3 * items).mean()}
    return StepResult(parts, {"mean": items.detach().mean()})


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 100])
def test_values_and_gradients_by_hand(size: int) -> None:
    items = torch.tensor([1.0, -1.0, 2.0, 0.0, 3.0], requires_grad=True)
    result = mean_in_parts(squares, items, size)
    # The sums over the items are 1 + 2 + 12 + 0 + 45, 15 and 5.
    assert float(result.parts["squares"].detach()) == pytest.approx(12.0)
    assert float(result.parts["linear"].detach()) == pytest.approx(3.0)
    assert float((result.figures or {})["mean"]) == pytest.approx(1.0)
    (2 * total(result.parts)).backward()
    # The derivative of twice the loss is 2 (2 w x + 3) / 5.
    assert items.grad is not None
    assert items.grad.tolist() == pytest.approx([2.0, -0.4, 6.0, 1.2, 13.2])


def test_a_part_sees_its_rows_and_no_more() -> None:
    seen = []

    def step(items: Tensor, rows: slice) -> StepResult:
        seen.append((items.tolist(), rows.start, rows.stop))
        return StepResult({"loss": items.sum()})

    mean_in_parts(step, torch.arange(5.0, requires_grad=True), 2)
    assert seen == [([0.0, 1.0], 0, 2), ([2.0, 3.0], 2, 4), ([4.0], 4, 5)]


def test_few_items_are_one_pass_with_a_gradient_in_each_part() -> None:
    items = torch.ones(5, requires_grad=True)
    mean_in_parts(squares, items, 5).parts["linear"].backward()
    assert items.grad is not None
    assert items.grad.tolist() == pytest.approx([0.6] * 5)


def test_without_gradients_the_values_are_the_same() -> None:
    result = mean_in_parts(squares, torch.tensor([1.0, -1.0, 2.0, 0.0, 3.0]), 2)
    assert total(result.parts).tolist() == pytest.approx(15.0)
