"""Warnings about the result of a finished stage, found in the files that it wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from semples.config.registry import CRITERIA
from semples.data.images import read_mask
from semples.data.subsets import evenly_spaced
from semples.records import IGNORE_INDEX
from semples.rundir.metrics import read_metrics
from semples.rundir.threshold import ThresholdChoice, read_threshold
from semples.rundir.words import read_words
from semples.runtime.context import Run

CLAMPED_SHARE = 0.05
"""Share of clamped scores in [0, 1] above which a loss gets a warning (``docs/method.md``, "Notation")."""

CHECKED_MASKS = 200
"""Number of pseudo masks, evenly spaced, that are checked for objects."""
NEARLY_NOTHING = 0.01
"""Share of an image's area below which its objects, or its background, count as missing."""

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
    """Yield a warning for each prompt that became its own class: it was mended, or its class is left out of stage 3."""
    catalogue, words = run.dataset.catalogue, read_words(run.directory.words)
    fix = f"raise prompts.lambda_text (it is {run.config.prompts.lambda_text:g})"
    for index, name in enumerate(catalogue.names):
        word, _ = words.last(name)[0]
        if name in words.mended:
            yield (
                f'the prompt of class {name} became the class itself and was mended (nearest word now "{word}"); to '
                f"learn another, {fix}"
            )
        elif catalogue.is_own_word(index, word):
            yield (
                f'the prompt of class {name} became the class itself (nearest word "{word}") and could not be mended; '
                f"the class is left out of stage refine, which would erase it: {fix}"
            )


def doubtful_masks(run: Run) -> Iterator[str]:
    """Yield a warning for a threshold at either end of its candidates, and one for masks nearly all empty or full."""
    choice = read_threshold(run.directory.threshold)
    yield from threshold_at_edge(choice)
    samples = evenly_spaced([sample for sample in run.dataset.train if sample.tags], CHECKED_MASKS)
    masks = (read_mask(run.directory.pseudo_mask(sample.id), None, run.num_classes) for sample in samples)
    shares = [float(((mask > 0) & (mask != IGNORE_INDEX)).mean()) for mask in masks]
    for state, fix, count in (
        ("empty", "lower", sum(share < NEARLY_NOTHING for share in shares)),
        ("full", "raise", sum(share > 1 - NEARLY_NOTHING for share in shares)),
    ):
        if count > len(shares) / 2:
            yield (
                f"{count} of {len(shares)} pseudo masks are nearly {state}; {fix} pseudo_masks.threshold (it was "
                f"{choice.threshold:g})"
            )


def threshold_at_edge(choice: ThresholdChoice) -> Iterator[str]:
    """Yield a warning if a criterion preferred the lowest or the highest threshold that it tries."""
    for other, threshold in choice.others.items():
        if CRITERIA[other].needs_prompts:
            yield (
                f"criterion {other} preferred {threshold:g}, the highest threshold that it tries, so that "
                f"{choice.criterion} chose {choice.threshold:g} instead; look at the masks, and set "
                "pseudo_masks.threshold if they are wrong"
            )
        else:
            yield (
                f"criterion {choice.criterion} preferred the lowest or highest threshold that it tries, and "
                f"{choice.threshold:g} is used ({other} prefers {threshold:g}); look at the masks, and set "
                "pseudo_masks.threshold if they are wrong"
            )
