"""Reasons why stages have nothing to do in a run; each function returns one, or None if there is work."""

from __future__ import annotations

from semples.runtime.context import Run


def never(run: Run) -> str | None:
    """Return None: the stage always has work."""
    del run
    return None


def without_guidance(run: Run) -> str | None:
    """Skip a stage that needs the vision-language model's guidance."""
    return None if run.config.guidance.enabled else "guidance.enabled is false"


def nothing_to_train(run: Run) -> str | None:
    """Skip the guided training of a generator that has nothing to train."""
    if run.models.trains_generator:
        return without_guidance(run)
    return without_guidance(run) or f"mask generator {run.config.mask_generator.name} has nothing to train"


def no_supervised_bound(run: Run) -> str | None:
    """Skip the training on true masks unless it is wanted and there are some."""
    wanted = run.config.segment.supervised_bound
    if not (run.config.data.is_synthetic if wanted is None else wanted):
        return "segment.supervised_bound is off"
    return None if any(sample.mask_path for sample in run.dataset.train) else "no ground-truth masks"


def no_ground_truth(run: Run) -> str | None:
    """Skip the evaluation without true masks."""
    samples = (*run.dataset.train, *run.dataset.val)
    return None if any(sample.mask_path for sample in samples) else "no ground-truth masks"
