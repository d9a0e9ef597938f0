"""Warnings about the result of a finished stage, found in the files that it wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from semples.rundir.metrics import read_metrics
from semples.rundir.words import read_words
from semples.runtime.context import Run

CLAMPED_SHARE = 0.05
"""Share of clamped scores in [0, 1] above which a loss gets a warning (``docs/method.md``, "Notation")."""

_OTHER_SCORE = "set vision_language.score to sigmoid, or choose another vision_language.model"
_FIXES = {
    "pull": "raise prompts.approach, or set prompts.score to auto",
    "push": "lower prompts.lambda_text",
}
"""Loss -> setting to change when many of its scores are clamped; :data:`_OTHER_SCORE` for any other loss."""


def clamped_scores(metrics_file: Path, stage: str) -> Iterator[str]:
    """Yield a warning for each loss of a stage whose scores were clamped too often in its worst epoch."""
    worst: dict[str, tuple[float, int]] = {}  # loss -> largest clamped share, and its epoch
    for metrics in read_metrics(metrics_file):
        for name, share in metrics.figures.items() if metrics.stage == stage else ():
            kind, _, loss = name.partition("/")
            if kind == "clamped":
                worst[loss] = max(worst.get(loss, (0.0, 0)), (share, metrics.epoch))
    for loss, (share, epoch) in worst.items():
        if share > CLAMPED_SHARE:
            yield (
                f"{100 * share:.0f} % of the scores of loss {loss} were clamped in epoch {epoch} and gave no gradient "
                f"(up to {100 * CLAMPED_SHARE:.0f} % is harmless); {_FIXES.get(loss, _OTHER_SCORE)}"
            )


def collapsed_prompts(run: Run) -> Iterator[str]:
    """Yield a warning for each prompt that is nearest to its own class."""
    catalogue, words = run.dataset.catalogue, read_words(run.directory.words)
    suggestions = catalogue.suggestions or ((),) * len(catalogue)
    for name, phrases, suggested in zip(catalogue.names, catalogue.phrases, suggestions, strict=True):
        word, _ = words.last(name)[0]
        if word.casefold() in (phrase.casefold() for phrase in (name, *phrases, *suggested)):
            yield (
                f'the prompt of class {name} is nearest to the word "{word}", the class itself, and stage refine would '
                f"erase it: raise prompts.lambda_text (it is {run.config.prompts.lambda_text:g})"
            )
