"""The methods that are compared on one run: stages of the pipeline, and a few that only a comparison needs."""

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
class Judged:
    """What was found on one run.

    Attributes:
        rows: Method or variant -> its figures; None where the generator has nothing to train.
        words: Class -> nearest word of the learned prompt; None where none were learned.
        words_found: Row -> number of classes whose prompt names their context, where prompts were learned.
        supervised_bound: Held-out mIoU of the network trained on true masks; None where it was not asked for.
        remarks: Rows that were left out, and why.
    """

    rows: dict[str, dict[str, float] | None]
    words: dict[str, str] | None = None
    words_found: dict[str, int] = field(default_factory=dict)
    supervised_bound: float | None = None
    remarks: tuple[str, ...] = ()


def _manual(run: Run) -> None:
    """Stage 3 with the true context word of each class in place of its learned prompt."""
    contexts = [pairs_of(run)[name] for name in run.dataset.catalogue.names]
    with torch.no_grad():
        features = run.models.vision_language.encode_classes(contexts)
    suppress_backgrounds(run, "manual", features)


def _generic(run: Run) -> None:
    """Stage 3 with one hand-written list for every class in place of the prompts, as in CLIMS (arXiv 2203.02668).

    The loss is a mean over the words, each of which the foreground must not match.
    """
    with torch.no_grad():
        features = run.models.vision_language.encode_classes(_generic_words(run))
    suppress_backgrounds(run, "generic", features.expand(run.num_classes, -1, -1))


def _clip_es(run: Run) -> None:
    """CAMs of the vision-language model itself against generic words, as in CLIP-ES; nothing trains."""
    write_cams(run, "clip-es", run.models.build_generator())


def _generic_words(run: Run) -> list[str]:
    names = run.dataset.catalogue.prompt_names
    return usable_words(run.models.vision_language, names, run.config.mask_generator.background_words)


_GUIDED_ALONE = (*GENERATOR, *GUIDED, "refine", "cams")
CLIP_SETTINGS = {"mask_generator.name": "clip", "cams.scales": [1.0]}
"""Settings under which the clip generator takes its CAMs: scales above 1 harm it (``docs/log.md``)."""


@dataclass(frozen=True)
class Method:
    """One row of the comparison.

    Attributes:
        stage: The stage whose result it is judged by.
        until: The last stage of the pipeline that it needs, or None.
        extra: A stage of its own, after those.
        settings: What that stage is run with beside the settings of the run.
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


def judge_methods(run: Run, tell: Callable[[object], None], chosen: Sequence[str]) -> Judged:
    """Run or reuse the chosen methods on one run; all start from the same classifier and train equally long."""
    methods = {name: METHODS[name] for name in METHODS if name in chosen}
    needed = [method.until for method in methods.values() if method.until]
    if needed:
        order = [stage.name for stage in STAGES]
        run_stages(run, until=max(needed, key=order.index), listener=tell)
    rows, remarks, bound = {}, [], None
    for name, method in methods.items():
        reason = _why_left_out(name, run)
        if reason is not None:
            remarks.append(f"{name} is left out: {reason}")
            continue
        if method.extra is not None:
            _run_extra(method.extra, changed_run(run, method.settings), tell)
        if name == "supervised-bound":
            bound = (score_masks(run, "val", run.directory.held_out_predictions(method.stage), method.stage) or {})[
                "miou"
            ]
        else:
            rows[name] = score_stage(run, method.stage, with_prompts="full" in methods)
    words = learned_words(run) if "full" in methods else None
    found = {} if words is None else {"full": contexts_named(run, words)}
    return Judged(rows, words, found, bound, tuple(remarks))


def _run_extra(stage: Stage, run: Run, tell: Callable[[object], None]) -> None:
    manifest = open_manifest(run)
    digest = stage.digest(run, manifest)
    if manifest.is_done(stage.name, digest):
        tell(f"{stage.name:16} unchanged")
    else:
        perform(stage, run, manifest, digest, tell)


def _why_left_out(name: str, run: Run) -> str | None:
    """Say what a method lacks with the models of this run, or None."""
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


def changed_run(run: Run, settings: Mapping[str, Any]) -> Run:
    """Return the run in the same directory with settings changed."""
    return dataclasses.replace(run, config=changed_config(run.config, settings)) if settings else run


def score_stage(run: Run, stage: str, with_prompts: bool) -> dict[str, float] | None:
    """Scores at the threshold chosen without masks; false positives and negatives at the oracle threshold.

    Without learned prompts, where no chosen method needs any, the maps alone choose. None where the generator has
    nothing to train and the stage was skipped.
    """
    if not with_prompts and CRITERIA[run.config.criterion].needs_prompts:
        run = changed_run(run, {"pseudo_masks.criterion": "otsu"})
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
    """Class -> the word nearest to its learned prompt."""
    words = read_words(run.directory.words)
    return {name: words.last(name)[0][0] for name in words.words}


def pairs_of(run: Run) -> dict[str, str]:
    """Return object -> context of a run on scenes."""
    assert isinstance(run.config.data, ScenesConfig)
    return run.config.data.pairs


def contexts_named(run: Run, words: Mapping[str, str]) -> int:
    """Count the classes whose word is that of their own context."""
    return sum(pairs_of(run)[name] == word for name, word in words.items())
