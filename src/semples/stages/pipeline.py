"""The pipeline on one screen: all stages in order, their inputs, and when one is skipped or resumed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from semples.config.registry import REFINEMENTS
from semples.errors import ConfigError, did_you_mean
from semples.files import writing
from semples.parallel.processes import barrier, broadcast_flag, is_main_process
from semples.rundir.layout import STAGE_NAMES, stage_folder
from semples.rundir.manifest import Manifest, StageEntry
from semples.runtime.context import Run
from semples.stages.classify import classify
from semples.stages.digest import GENERATOR, GUIDED, stage_digest
from semples.stages.evaluation import evaluate
from semples.stages.guided import match, refine
from semples.stages.prompt_learning import prompts
from semples.stages.prompt_maps import prompt_maps
from semples.stages.pseudo_masks import pseudo_masks
from semples.stages.segment import segment, supervised_bound
from semples.stages.skip_reasons import never, no_ground_truth, no_supervised_bound, nothing_to_train, without_guidance
from semples.stages.stage_warnings import clamped_scores, collapsed_prompts, doubtful_masks
from semples.stages.updates import StageListener, StageUpdate
from semples.training.devices import peak_memory_mb

MASKS = ("pseudo_masks", *REFINEMENTS)
"""Settings that pseudo masks depend on."""


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline.

    Attributes:
        name: Name on the command line.
        act: Runs the stage.
        settings: Settings that its result depends on: sections, or single settings by their dotted name.
        needs: Stages whose results it reads.
        reads_masks: Whether ground truth is among its inputs.
        skip: Returns why it has nothing to do in a run, or None.
        warn: Returns reasons to doubt its result, besides clamped scores.
    """

    name: str
    act: Callable[[Run], None]
    settings: tuple[str, ...]
    needs: tuple[str, ...] = ()
    reads_masks: bool = False
    skip: Callable[[Run], str | None] = never
    warn: Callable[[Run], Iterable[str]] = lambda _: ()

    def digest(self, run: Run, manifest: Manifest) -> str:
        """Return the digest of everything that the stage's result depends on."""
        return stage_digest(run, self.settings, self.needs, self.reads_masks, manifest.digest)


STAGES = (
    Stage("classify", classify, (*GENERATOR, "augmentation", "classify", "cams")),
    Stage("match", match, (*GENERATOR, *GUIDED, "match", "cams"), ("classify",), skip=nothing_to_train),
    Stage(
        "prompts",
        prompts,
        (*GENERATOR, "vision_language", "prompts"),
        ("match",),
        skip=without_guidance,
        warn=collapsed_prompts,
    ),
    Stage("prompt-maps", prompt_maps, ("vision_language", "published", "report"), ("prompts",), skip=without_guidance),
    Stage("refine", refine, (*GENERATOR, *GUIDED, "refine", "cams"), ("classify", "prompts"), skip=without_guidance),
    Stage(
        "pseudo-masks",
        pseudo_masks,
        (*MASKS, "segment.confidence_weighting"),
        ("classify", "refine"),
        warn=doubtful_masks,
    ),
    Stage("segment", segment, ("seed", "data", "segment"), ("pseudo-masks",)),
    Stage(
        "supervised-bound",
        supervised_bound,
        ("seed", "data", "segment"),
        reads_masks=True,
        skip=no_supervised_bound,
    ),
    Stage(
        "evaluate",
        evaluate,
        ("pseudo_masks", "evaluation", "report"),
        ("pseudo-masks", "segment", "supervised-bound"),
        reads_masks=True,
        skip=no_ground_truth,
    ),
)
"""All stages in order. The report comes after them and is always rewritten."""


def run_stages(run: Run, until: str | None = None, force: str | None = None, listener: StageListener = print) -> None:
    """Run every stage whose inputs have changed since its last result; the main process decides for all processes.

    Args:
        run: The run.
        until: Stop after this stage.
        force: Run this stage and all later ones again even if nothing has changed.
        listener: Receives the update of each stage.

    Raises:
        ConfigError: There is no such stage.
    """
    for name in (until, force):
        if name is not None and name not in STAGE_NAMES:
            raise ConfigError(
                f'stage: "{name}" does not exist; expected one of {", ".join(STAGE_NAMES)}'
                f"{did_you_mean(name, STAGE_NAMES)}"
            )
    manifest = open_manifest(run)
    if force is not None and force != STAGE_NAMES[-1]:
        manifest.invalidate_from(force)
    for stage in STAGES:
        reason = stage.skip(run)
        digest = stage.digest(run, manifest)  # reads the digests of earlier stages, which this loop has just updated
        if reason is not None:
            manifest.record(stage.name, StageEntry("skipped", digest, reason=reason))
            _remove(run.directory.folder(stage.name))
            listener(StageUpdate(stage.name, "skipped", reason=reason))
        elif broadcast_flag(manifest.is_done(stage.name, digest)):
            listener(StageUpdate(stage.name, "unchanged"))
        else:
            perform(stage, run, manifest, digest, listener)
        if stage.name == until:
            return


def open_manifest(run: Run) -> Manifest:
    """Open the manifest of a run; the main process alone writes it."""
    return Manifest(run.directory, writes=is_main_process())


def perform(stage: Stage, run: Run, manifest: Manifest, digest: str, listener: StageListener) -> None:
    """Run a stage, or resume it if an earlier run with the same digest was stopped during it."""
    if not broadcast_flag(manifest.is_running(stage.name, digest)):
        manifest.invalidate(stage.name)
        _remove(run.directory.folder(stage.name))
        manifest.record(stage.name, StageEntry("running", digest))
    barrier()  # no process may start to write before the old folder is gone
    started = time.perf_counter()
    stage.act(run)
    barrier()
    seconds, memory = round(time.perf_counter() - started, 1), round(peak_memory_mb())
    warnings = (*clamped_scores(run.directory.metrics, stage.name), *stage.warn(run))
    # Removed before the stage is recorded as done: otherwise a kill in between would leave it in a finished stage.
    run.checkpoint(stage.name).remove()
    outputs = [stage_folder(stage.name)]
    manifest.record(stage.name, StageEntry("done", digest, outputs, seconds, memory, warnings))
    listener(StageUpdate(stage.name, "done", seconds, memory, warnings=warnings))


def _remove(folder: Path) -> None:
    with writing(folder):
        if is_main_process() and folder.is_dir():
            shutil.rmtree(folder)
