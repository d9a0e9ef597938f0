"""Warnings about the result of a finished stage, found in the files that it wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from semples.records import ClassCatalogue
from semples.rundir.layout import RunDirectory
from semples.rundir.metrics import DAMAGED_LINE, EpochMetrics, parse_metrics_line
from semples.rundir.words import read_words

CLAMPED_SHARE = 0.05
"""Share of clamped scores in [0, 1] above which a loss gets a warning (``docs/method.md``, "Notation")."""

_OTHER_SCORE = "set vision_language.score to sigmoid, or choose another vision_language.model"
_FIXES = {
    "pull": "raise prompts.approach, or set prompts.score to auto",
    "push": "lower prompts.lambda_text",
}
"""Loss -> setting to change when many of its scores are clamped; :data:`_OTHER_SCORE` for any other loss."""


def stage_warnings(stage: str, directory: RunDirectory, catalogue: ClassCatalogue, lambda_text: float) -> list[str]:
    """Return reasons to doubt the result of a stage, each with the setting to change.

    Args:
        stage: Name of the stage.
        directory: The run directory.
        catalogue: Classes of the data set.
        lambda_text: Value of the setting ``prompts.lambda_text``.
    """
    warnings = [*_clamped_scores(directory.metrics, stage)]
    if stage == "prompts":
        warnings += _collapsed_prompts(directory.words, catalogue, lambda_text)
    return warnings


def _clamped_scores(metrics_file: Path, stage: str) -> Iterator[str]:
    """Yield a warning for each loss of a stage whose scores were clamped too often in its worst epoch."""
    worst: dict[str, tuple[float, int]] = {}  # loss -> largest clamped share, and its epoch
    for metrics in _epochs(metrics_file, stage):
        for name, share in metrics.figures.items():
            kind, _, loss = name.partition("/")
            if kind == "clamped":
                worst[loss] = max(worst.get(loss, (0.0, 0)), (share, metrics.epoch))
    for loss, (share, epoch) in worst.items():
        if share > CLAMPED_SHARE:
            yield (
                f"{100 * share:.0f} % of the scores of loss {loss} were clamped in epoch {epoch} and gave no gradient "
                f"(up to {100 * CLAMPED_SHARE:.0f} % is harmless); {_FIXES.get(loss, _OTHER_SCORE)}"
            )


def _epochs(path: Path, stage: str) -> Iterator[EpochMetrics]:
    """Yield the metrics of each epoch of a stage, skipping damaged lines."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    for line in lines:
        try:
            metrics = parse_metrics_line(line)
        except DAMAGED_LINE:
            continue
        if metrics.stage == stage:
            yield metrics


def _collapsed_prompts(words_file: Path, catalogue: ClassCatalogue, lambda_text: float) -> Iterator[str]:
    """Yield a warning for each prompt that is nearest to its own class."""
    words = read_words(words_file)
    for name, prompt_name in zip(catalogue.names, catalogue.prompt_names, strict=True):
        word, _ = words.last(name)[0]
        if word.casefold() in (name.casefold(), prompt_name.casefold()):
            yield (
                f'the prompt of class {name} is nearest to the word "{word}", the class itself, which stage refine '
                f"would erase; raise prompts.lambda_text (it is {lambda_text:g})"
            )
