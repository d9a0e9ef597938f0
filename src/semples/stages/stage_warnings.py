"""Warnings about the result of a finished stage, read from the files that it left."""

from __future__ import annotations

from collections.abc import Iterator

from semples.rundir.metrics import read_metrics
from semples.rundir.words import read_words
from semples.runtime.context import Run

CLAMPED_SHARE = 0.05
"""Share of clamped scores above which a loss is warned about (``docs/method.md``, "Notation")."""

_OTHER_SCORE = "set vision_language.score to sigmoid, or choose another vision_language.model"
_FIXES = {
    "pull": "raise prompts.approach, or set prompts.score to auto",
    "push": "lower prompts.lambda_text",
}
"""Loss -> settings to change when many of its scores are clamped."""


def stage_warnings(run: Run, stage: str) -> list[str]:
    """Return reasons to doubt the result of a stage, each with the setting to change."""
    return [*_clamped_scores(run, stage), *(_collapsed_prompts(run) if stage == "prompts" else ())]


def _clamped_scores(run: Run, stage: str) -> Iterator[str]:
    worst: dict[str, tuple[float, int]] = {}
    for metrics in read_metrics(run.directory.metrics):
        for name, share in metrics.figures.items() if metrics.stage == stage else ():
            kind, _, loss = name.partition("/")
            if kind == "clamped":
                worst[loss] = max(worst.get(loss, (0.0, 0)), (share, metrics.epoch))
    for loss, (share, epoch) in worst.items():
        if share > CLAMPED_SHARE:
            yield (
                f"{100 * share:.0f} % of the scores of loss {loss} were clamped in epoch {epoch} and gave no gradient "
                f"(up to {100 * CLAMPED_SHARE:.0f} % is harmless): {_FIXES.get(loss, _OTHER_SCORE)}"
            )


def _collapsed_prompts(run: Run) -> Iterator[str]:
    catalogue, words = run.dataset.catalogue, read_words(run.directory.words)
    for name, prompt_name in zip(catalogue.names, catalogue.prompt_names, strict=True):
        word, _ = words.last(name)[0]
        if word.casefold() in (name.casefold(), prompt_name.casefold()):
            yield (
                f'the prompt of class {name} is nearest to the word "{word}", the class itself, and stage refine would '
                f"erase it: raise prompts.lambda_text (it is {run.config.prompts.lambda_text:g})"
            )
