"""Runs and scores the compared methods: stages of the pipeline, and a few extra stages of the comparison."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from semples.config.loading import changed_config
from semples.config.registry import CRITERIA
from semples.data.scenes.settings import ScenesConfig
from semples.errors import ConfigError, ModelError
from semples.models.vision_language.background_words import usable_words
from semples.rundir.words import read_words
from semples.runtime.cam_files import write_cams
from semples.runtime.context import Run
from semples.stages.digest import GENERATOR, GUIDED
from semples.stages.evaluation import score_cams, score_masks
from semples.stages.guided import suppress_backgrounds
from semples.stages.pipeline import STAGES, Stage, open_manifest, perform, run_stages


@dataclass(frozen=True)
class RunScores:
    """Scores of all methods or variants on one run.

    Attributes:
        rows: Method or variant -> its metrics; None if the generator has nothing to train.
        words: Class -> nearest word of the learned prompt; None if none were learned.
        words_found: Row -> number of classes whose prompt names their context, if prompts were learned.
        supervised_bound: Held-out mIoU of the network trained on true masks; None if it was not requested.
        remarks: Rows that were left out, and the reasons.
    """

    rows: dict[str, dict[str, float] | None]
    words: dict[str, str] | None = None
    words_found: dict[str, int] = field(default_factory=dict)
    supervised_bound: float | None = None
    remarks: tuple[str, ...] = ()


def _manual(run: Run) -> None:
    """Run stage 3 with the true context word of each class in place of its learned prompt."""
    contexts = [pairs_of(run)[name] for name in run.dataset.catalogue.names]
    with torch.no_grad():
        features = run.models.vision_language.encode_classes(contexts, setting="data.pairs")
    suppress_backgrounds(run, "manual", features)


def _generic(run: Run) -> None:
    """Run stage 3 with one hand-written list of words for all classes, as in CLIMS (arXiv 2203.02668).

    The loss is the mean over the words, none of which the foreground may match.
    """
    with torch.no_grad():
        features = run.models.vision_language.encode_classes(_generic_words(run))
    suppress_backgrounds(run, "generic", features.expand(run.num_classes, -1, -1))


def _clip_es(run: Run) -> None:
    """Compute CAMs of the vision-language model itself against generic words, as in CLIP-ES, without training."""
    write_cams(run, "clip-es", run.models.build_generator())


def _generic_words(run: Run) -> list[str]:
    models, words = run.models, run.config.mask_generator.background_words
    return usable_words(models.vision_language, models.phrases, words, models.background_words_of_classes)


_GUIDED_ALONE = (*GENERATOR, *GUIDED, "refine", "cams")
CLIP_SETTINGS = {"mask_generator.name": "clip", "cams.scales": [1.0]}
"""Settings for the CAMs of the clip generator: scales above 1 harm it (``docs/log.md``)."""


@dataclass(frozen=True)
class Method:
    """One row of the comparison.

    Attributes:
        stage: The stage whose result is scored.
        until: The last stage of the pipeline that it needs, or None.
        extra: A stage outside the pipeline that runs after those, or None.
        settings: Settings of the extra stage that differ from the run's.
    """

    stage: str
    until: str | None = None
    extra: Stage | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


METHODS = {
    "classify": Method("classify", "classify"),
    "match": Method("match", "match"),
    "generic": Method("generic", "classify", Stage("generic", _generic, _GUIDED_ALONE, ("classify",))),
    "manual": Method("manual", "classify", Stage("manual", _manual, _GUIDED_ALONE, ("classify",))),
    "clip-es": Method("clip-es", None, Stage("clip-es", _clip_es, (*GENERATOR, *GUIDED, "cams")), CLIP_SETTINGS),
    "full": Method("refine", "refine"),
    "supervised-bound": Method(
        "supervised-bound", None, next(stage for stage in STAGES if stage.name == "supervised-bound")
    ),
}
"""Name on the command line -> method, in the order of the table."""


def score_methods(run: Run, report_progress: Callable[[object], None], chosen: Sequence[str]) -> RunScores:
    """Run or reuse the chosen methods on one run; all start from the same classifier and train for equally long."""
    methods = {name: METHODS[name] for name in METHODS if name in chosen}
    needed = [method.until for method in methods.values() if method.until]
    if needed:
        order = [stage.name for stage in STAGES]
        run_stages(run, until=max(needed, key=order.index), listener=report_progress)
    rows, remarks, bound = {}, [], None
    for name, method in methods.items():
        reason = _why_left_out(name, run)
        if reason is not None:
            remarks.append(f"{name} is left out: {reason}")
            continue
        if method.extra is not None:
            _run_extra(method.extra, run_with_settings(run, method.settings), report_progress)
        if name == "supervised-bound":
            predictions = run.directory.held_out_predictions(method.stage)
            bound = (score_masks(run, "val", predictions, method.stage) or {})["miou"]
        else:
            rows[name] = score_stage(run, method.stage, with_prompts="full" in methods)
    words = learned_words(run) if "full" in methods else None
    found = {} if words is None else {"full": contexts_named(run, words)}
    return RunScores(rows, words, found, bound, tuple(remarks))


def _run_extra(stage: Stage, run: Run, report_progress: Callable[[object], None]) -> None:
    manifest = open_manifest(run)
    digest = stage.digest(run, manifest)
    if manifest.is_done(stage.name, digest):
        report_progress(f"{stage.name:16} unchanged")
    else:
        perform(stage, run, manifest, digest, report_progress)


def _why_left_out(name: str, run: Run) -> str | None:
    """Return why a method cannot run with the models of this run, or None if it can."""
    if name not in ("generic", "clip-es"):
        return None
    if not run.models.trains_generator:
        return f"mask generator {run.config.mask_generator.name} contrasts generic words itself, in stage classify"
    try:
        _generic_words(run)
        if name == "clip-es":
            run.models.vision_language.cut(torch.zeros(1, 3, 64, 64, device=run.device))
    except (ConfigError, ModelError) as error:
        return str(error)
    return None


def run_with_settings(run: Run, settings: Mapping[str, Any]) -> Run:
    """Return the run with changed settings, in the same directory."""
    return dataclasses.replace(run, config=changed_config(run.config, settings)) if settings else run


def score_stage(run: Run, stage: str, with_prompts: bool) -> dict[str, float] | None:
    """Score a stage's CAMs: mIoU at the threshold chosen without masks, false positives and negatives at the oracle's.

    If no chosen method learns prompts, the threshold is chosen from the maps alone. Returns None if the stage was
    skipped because the generator has nothing to train.
    """
    if not with_prompts and CRITERIA[run.config.criterion].needs_prompts:
        run = run_with_settings(run, {"pseudo_masks.criterion": "otsu"})
    scores = score_cams(run, stage)
    if scores is None:
        return None
    return {
        "miou": scores["miou"],
        "oracle_miou": scores["oracle_miou"],
        "false_positive": scores["oracle_false_positive"],
        "false_negative": scores["oracle_false_negative"],
    }


def learned_words(run: Run) -> dict[str, str]:
    """Return the word nearest to the learned prompt of each class."""
    words = read_words(run.directory.words)
    return {name: words.last(name)[0][0] for name in words.words}


def pairs_of(run: Run) -> dict[str, str]:
    """Return object -> context of a run on scenes."""
    assert isinstance(run.config.data, ScenesConfig)
    return run.config.data.pairs


def contexts_named(run: Run, words: Mapping[str, str]) -> int:
    """Count the classes whose word names their own context."""
    return sum(pairs_of(run)[name] == word for name, word in words.items())
