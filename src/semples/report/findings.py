"""What a reader should know before trusting the numbers: warnings, and stages that are missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from semples.report.collect import Epoch, Run
from semples.report.gallery import Shot
from semples.report.tables import nearest_word

CLAMPED_SHARE = 0.05
"""Share of clamped scores above which a loss is warned of (docs/method.md, "Notation")."""

NAMED_PICTURES = 5
"""Lost pictures that a warning names; of more it tells the number."""


def warnings(run: Run, shots: Sequence[Shot]) -> list[str]:
    """List sentences on damaged files, unfinished stages, clamped scores and prompts that echo a class."""
    return [*run.problems, *_lost_pictures(shots), *_unfinished(run), *_clamped(run), *_echoes(run)]


def missing_stages(run: Run) -> list[str]:
    """List the stages that this run has not started."""
    return [stage.name for stage in run.stages if stage.status not in ("done", "skipped", "running")]


def _lost_pictures(shots: Sequence[Shot]) -> Iterator[str]:
    lost = [f"photograph {shot.sample.path}" for shot in shots if shot.photograph is None]
    for shot in shots:
        layers = dict.fromkeys(figure.layer.name for figure in shot.figures if figure.source is None)
        lost += [f"{name} of {shot.sample.id}" for name in layers]
    if lost:
        rest = len(lost) - NAMED_PICTURES
        more = f" and {rest} more" if rest > 0 else ""
        yield f"Missing or damaged, and left out of the gallery: {', '.join(lost[:NAMED_PICTURES])}{more}."


def _unfinished(run: Run) -> Iterator[str]:
    for stage in run.stages:
        if stage.status == "running":
            yield f"{stage.name} did not finish: the same command again goes on from its last checkpoint."


def _clamped(run: Run) -> Iterator[str]:
    worst: dict[tuple[str, str], Epoch] = {}
    for epoch in run.epochs:
        for name, share in epoch.clamped.items():
            known = worst.get((epoch.stage, name))
            if share > CLAMPED_SHARE and (known is None or share > known.clamped[name]):
                worst[epoch.stage, name] = epoch
    for (stage, name), epoch in worst.items():
        yield (
            f"{stage}: up to {100 * epoch.clamped[name]:.0f} % of the scores in “{name}” were clamped "
            f"(epoch {epoch.epoch}) and gave no gradient; more than {100 * CLAMPED_SHARE:.0f} % means that "
            "images and texts of this vision-language model are too far apart for the plain cosine."
        )


def _echoes(run: Run) -> Iterator[str]:
    if run.words is None:
        return
    prompt_names = dict(zip(run.classes, run.dataset.catalogue.prompt_names, strict=True)) if run.dataset else {}
    for name in run.words.words:
        nearest = nearest_word(run.words, name)
        own = {name.casefold(), prompt_names.get(name, name).casefold()}
        if nearest and nearest[-1][1].casefold() in own:
            yield (
                f"The prompt of “{name}” learned the word “{nearest[-1][1]}”, the class itself: "
                "refinement may erase the object. A larger lambda_t pushes the prompt away from it."
            )
