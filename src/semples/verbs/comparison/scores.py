"""Scores of the rows of a comparison, computed in stages of their own so that a stopped comparison resumes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from semples.config.registry import CRITERIA, UNGUIDED_CRITERION
from semples.files import read_json, write_json
from semples.rundir.layout import scoring_stage
from semples.runtime.context import Run
from semples.stages.evaluation import score_cams, score_refined_cams
from semples.stages.pipeline import MASKS, Stage, open_manifest, perform
from semples.verbs.comparison.sharing import run_with_settings


@dataclass(frozen=True)
class RowScores:
    """Scores of one method or variant on one run.

    Attributes:
        cams: Scores of the CAMs, as in ``evaluation.json``.
        masks: Scores of the masks after refinement; None for an ablation.
        seconds: Duration of the stages that no earlier row had run; None for an ablation.
        words: Class -> words nearest to its learned prompt, nearest first; None without prompts.
        nearest: Class -> word that was judged; None without prompts or without a yardstick.
        words_right: Number of classes whose word is right; None without prompts or without a yardstick.
    """

    cams: Mapping[str, Any]
    masks: Mapping[str, Any] | None = None
    seconds: float | None = None
    words: Mapping[str, Sequence[str]] | None = None
    nearest: Mapping[str, str] | None = None
    words_right: int | None = None


@dataclass(frozen=True)
class RunScores:
    """Scores of all methods or variants on one run.

    Attributes:
        rows: Method or variant -> its scores; None if the generator has nothing to train.
        supervised_bound: Held-out mIoU of the network trained on true masks; None if it was not requested.
        remarks: Rows that were left out, and the reasons.
        run_once: Rows in which nothing depends on the seed, and which the first seed alone runs.
    """

    rows: Mapping[str, RowScores | None]
    supervised_bound: float | None = None
    remarks: tuple[str, ...] = ()
    run_once: tuple[str, ...] = ()


def metrics_of(scores: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the metrics that tables show (:data:`semples.verbs.comparison.statistics.METRICS`).

    Without an oracle threshold, false positives and negatives are those at the chosen one.
    """
    return {
        "miou": scores["miou"],
        "oracle_miou": scores.get("oracle_miou"),
        "false_positive": scores.get("oracle_false_positive", scores["false_positive"]),
        "false_negative": scores.get("oracle_false_negative", scores["false_negative"]),
    }


def score_stage(run: Run, stage: str, with_prompts: bool, report_progress: Callable[[object], None]) -> Any:
    """Score the CAMs of a finished stage, and the masks after refinement, or read what an earlier call has written.

    Without prompts the threshold is chosen as in a run without guidance.

    Returns:
        ``{"cams": scores, "masks": scores}``; None if the stage was skipped because there was nothing to train.
    """
    if not run.directory.cams(stage).is_dir():
        return None
    if not with_prompts and CRITERIA[run.config.criterion].needs_prompts:
        run = run_with_settings(run, {"pseudo_masks.criterion": UNGUIDED_CRITERION})
    needs = (stage, "prompts") if CRITERIA[run.config.criterion].needs_prompts else (stage,)
    scoring = Stage(
        scoring_stage(stage), partial(_write_scores, stage=stage), (*MASKS, "evaluation"), needs, reads_masks=True
    )
    run_extra(scoring, run, report_progress)
    return read_json(run.directory.comparison_scores(stage))


def run_extra(stage: Stage, run: Run, report_progress: Callable[[object], None]) -> None:
    """Run a stage outside the pipeline unless it is done."""
    manifest = open_manifest(run)
    digest = stage.digest(run, manifest)
    if manifest.is_done(stage.name, digest):
        report_progress(f"{stage.name:16} unchanged")
    else:
        perform(stage, run, manifest, digest, report_progress)


def _write_scores(run: Run, stage: str) -> None:
    scores = {"cams": score_cams(run, stage), "masks": score_refined_cams(run, stage)}
    write_json(run.directory.comparison_scores(stage), scores)
