"""What a finished stage should be warned of, read from the files that it left."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain

from semples.files import read_json
from semples.runtime.run import Run

CLAMPED_SHARE = 0.05
"""Share of clamped scores above which a loss is warned of (``docs/method.md``, "Notation")."""

_OTHER_SCORE = "set vision_language.score to sigmoid, or take another vision_language.model"
_FIXES = {
    "pull": "raise prompts.approach, or set prompts.score to auto",
    "push": "lower prompts.lambda_text",
}


def stage_warnings(run: Run, stage: str) -> list[str]:
    """List what a person should know before trusting the result of a stage, each with the setting to change."""
    return [*_clamped_scores(run, stage), *(_diverged_prompts(run) if stage == "prompts" else ())]


def _clamped_scores(run: Run, stage: str) -> Iterator[str]:
    path = run.directory / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    worst: dict[str, tuple[float, int]] = {}
    for epoch, name, share in chain.from_iterable(_figures(line, stage) for line in lines):
        kind, _, loss = name.partition("/")
        if kind == "clamped":
            worst[loss] = max(worst.get(loss, (0.0, 0)), (share, epoch))
    for loss, (share, epoch) in worst.items():
        if share > CLAMPED_SHARE:
            yield (
                f"{100 * share:.0f} % of the scores of loss {loss} were clamped in epoch {epoch} and gave no gradient "
                f"(up to {100 * CLAMPED_SHARE:.0f} % is harmless): {_FIXES.get(loss, _OTHER_SCORE)}"
            )


def _figures(line: str, stage: str) -> list[tuple[int, str, float]]:
    """Read (epoch, name, value) of the figures in a line of the log; a damaged line has none."""
    try:
        values = json.loads(line)
        if values["stage"] != stage:
            return []
        return [(int(values["epoch"]), name, float(figure)) for name, figure in values.get("figures", {}).items()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


def _diverged_prompts(run: Run) -> Iterator[str]:
    catalogue = run.dataset.catalogue
    nearest = read_json(run.folder("prompts") / "words.json")["words"]
    for name, prompt_name in zip(catalogue.names, catalogue.prompt_names, strict=True):
        word, _ = nearest[name][-1][0]
        if word.casefold() in (name.casefold(), prompt_name.casefold()):
            yield (
                f'the prompt of class {name} is nearest to the word "{word}", the class itself, and stage refine would '
                f"erase it: raise prompts.lambda_text (it is {run.config.prompts.lambda_text:g})"
            )
