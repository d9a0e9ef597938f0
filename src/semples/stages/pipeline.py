"""The pipeline on one screen: which stages there are, in which order, and when one can be skipped."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any, get_args

from semples.config import Config, RefinementName
from semples.errors import ConfigError, DataError, did_you_mean
from semples.files import read_json, write_json, writing
from semples.parallel.processes import barrier, broadcast_flag, is_main_process
from semples.records import Sample
from semples.runtime.run import FOLDERS, Run
from semples.stages.classify import classify
from semples.stages.evaluation import evaluate
from semples.stages.guided import match, refine
from semples.stages.prompt_learning import prompts
from semples.stages.prompt_maps import prompt_maps
from semples.stages.pseudo_masks import pseudo_masks
from semples.stages.segment import segment, supervised_bound
from semples.stages.stage_warnings import stage_warnings
from semples.stages.updates import StageNews, Teller
from semples.training.devices import peak_memory_mb

GENERATOR = ("seed", "data", "mask_generator")
MASKS = ("pseudo_masks", *get_args(RefinementName))
GUIDED = ("vision_language", "augmentation")

WITHOUT_EFFECT = ("root", "cache_mb", "workers", "skip_bad_images")
"""Settings of the data that leave a result as it is, given the same images."""

_MANIFEST_FIX = "put a good copy back, or delete it to run every stage again"


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline.

    Attributes:
        name: Name on the command line.
        act: What it does.
        settings: What its result depends on of the config: sections, or single settings by their dotted name.
        needs: Stages whose result it reads.
        reads_masks: Whether ground truth is among its inputs.
    """

    name: str
    act: Callable[[Run], None]
    settings: tuple[str, ...]
    needs: tuple[str, ...] = ()
    reads_masks: bool = False


STAGES = (
    Stage("classify", classify, (*GENERATOR, "augmentation", "classify", "cams")),
    Stage("match", match, (*GENERATOR, *GUIDED, "match", "cams"), ("classify",)),
    Stage("prompts", prompts, (*GENERATOR, "vision_language", "prompts"), ("match",)),
    Stage("prompt-maps", prompt_maps, ("vision_language", "report"), ("prompts",)),
    Stage("refine", refine, (*GENERATOR, *GUIDED, "refine", "cams"), ("classify", "prompts")),
    Stage("pseudo-masks", pseudo_masks, (*MASKS, "segment.confidence_weighting"), ("classify", "refine")),
    Stage("segment", segment, ("seed", "data", "segment"), ("pseudo-masks",)),
    Stage("supervised-bound", supervised_bound, ("seed", "data", "segment"), (), reads_masks=True),
    Stage(
        "evaluate",
        evaluate,
        ("pseudo_masks", "evaluation", "report"),
        ("pseudo-masks", "segment", "supervised-bound"),
        reads_masks=True,
    ),
)
"""All stages in order. The report comes after them and is always made again."""

STAGE_NAMES = (*(stage.name for stage in STAGES), "report")


def run_stages(run: Run, until: str | None = None, force: str | None = None, tell: Teller = print) -> None:
    """Run every stage whose digest is not that of its last result, as the first process decides.

    Args:
        run: The run.
        until: Stop after this stage.
        force: Run this stage again even if nothing changed (those after it follow, as their input is new).
        tell: Receives the news of each stage.
    """
    for name in (until, force):
        if name is not None and name not in STAGE_NAMES:
            raise ConfigError(
                f"there is no stage {name}, expected one of {', '.join(STAGE_NAMES)}.{did_you_mean(name, STAGE_NAMES)}"
            )
    manifest = Manifest(run.directory / "manifest.json")
    if force is not None and force != "report":
        manifest.forget(force)
    for stage in STAGES:
        reason = why_skipped(stage.name, run)
        digest = stage_digest(stage, run, manifest)
        if reason is not None:
            manifest.record(stage.name, status="skipped", reason=reason, digest=digest)
            _remove(run.folder(stage.name))
            tell(StageNews(stage.name, "skipped", reason=reason))
        elif broadcast_flag(manifest.is_done(stage.name, digest)):
            tell(StageNews(stage.name, "unchanged"))
        else:
            perform(stage, run, manifest, digest, tell)
        if stage.name == until:
            return


def why_skipped(name: str, run: Run) -> str | None:
    """Say why a stage has nothing to do, or None."""
    if name in ("match", "prompts", "prompt-maps", "refine") and not run.config.guidance.enabled:
        return "guidance.enabled is false"
    if name == "match" and not run.trains_generator:
        return f"mask generator {run.config.mask_generator.name} has nothing to train"
    if name == "supervised-bound" and not _wants_supervised_bound(run.config):
        return "segment.supervised_bound is off"
    if name == "supervised-bound" and not any(sample.mask_path for sample in run.dataset.train):
        return "no ground-truth masks"
    if name == "evaluate" and not any(sample.mask_path for sample in _samples(run)):
        return "no ground-truth masks"
    return None


def _wants_supervised_bound(config: Config) -> bool:
    wanted = config.segment.supervised_bound
    return config.data.reader == "scenes" if wanted is None else wanted


def perform(stage: Stage, run: Run, manifest: Manifest, digest: str, tell: Teller) -> None:
    """Run a stage, or go on with it where a run of the same digest was stopped inside it."""
    if not broadcast_flag(manifest.is_running(stage.name, digest)):
        manifest.drop(stage.name)
        _remove(run.folder(stage.name))
        manifest.record(stage.name, status="running", digest=digest)
    barrier()  # until what was there is gone
    started = time.perf_counter()
    stage.act(run)
    barrier()
    seconds, memory = round(time.perf_counter() - started, 1), round(peak_memory_mb())
    warnings = stage_warnings(run, stage.name)
    # Before the stage is called done, or it would stay in a finished stage when the process ends between the two.
    run.checkpoint(stage.name).remove()
    manifest.record(
        stage.name,
        status="done",
        digest=digest,
        outputs=[FOLDERS[stage.name]],
        seconds=seconds,
        peak_memory_mb=memory,
        warnings=warnings,
    )
    tell(StageNews(stage.name, "done", seconds, memory, warnings=tuple(warnings)))


def _remove(folder: Path) -> None:
    with writing(folder):
        if is_main_process() and folder.is_dir():
            shutil.rmtree(folder)


def stage_digest(stage: Stage, run: Run, manifest: Manifest) -> str:
    """Digest of what a stage's result depends on: settings, images and tags, and the results it reads."""
    config = asdict(run.config)
    config["data"] = {key: value for key, value in config["data"].items() if key not in WITHOUT_EFFECT}
    sections = stage.settings
    if "mask_generator" in sections and not run.trains_generator:
        sections = (*sections, *GUIDED)  # such a generator is made from the vision-language model
    inputs = {
        "settings": {name: reduce(getitem, name.split("."), config) for name in sections},
        "models": {section: run.models[section] for section in sections if section in run.models},
        "words": run.given_words if "prompts" in sections else None,
        "guided": run.config.guidance.enabled,
        "arithmetic": run.arithmetic,
        "classes": asdict(run.dataset.catalogue),
        "images": [_fingerprint(sample, stage.reads_masks) for sample in _samples(run)],
        "needs": {name: manifest.digest(name) for name in stage.needs},
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()


def _samples(run: Run) -> Iterable[Sample]:
    return (*run.dataset.train, *run.dataset.val)


def _fingerprint(sample: Sample, with_mask: bool) -> list[Any]:
    """What tells one version of a sample from another: size and time of its files, not their content."""
    stat = sample.path.stat()
    known: list[Any] = [sample.id, list(sample.tags), stat.st_size, stat.st_mtime_ns]
    if with_mask:
        mask = sample.mask_path.stat() if sample.mask_path else None
        known.append([mask.st_size, mask.st_mtime_ns] if mask else None)
    return known


class Manifest:
    """manifest.json: per stage its status, digest, outputs, seconds, peak memory and warnings.

    All processes keep one, the first writes it.

    Raises:
        DataError: The file is there and is no manifest.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stages = _read_manifest(path) if path.is_file() else {}

    def digest(self, stage: str) -> str | None:
        """Digest of the last result of a stage."""
        return self._stages.get(FOLDERS[stage], {}).get("digest")

    def entry(self, stage: str) -> dict[str, Any]:
        """Copy of what is known of the last result of a stage."""
        return dict(self._stages.get(FOLDERS[stage], {}))

    def is_done(self, stage: str, digest: str) -> bool:
        """Whether the last result of a stage is whole and was made from the same settings and inputs."""
        entry = self._stages.get(FOLDERS[stage], {})
        folder = self.path.parent / FOLDERS[stage]
        return entry.get("status") == "done" and entry.get("digest") == digest and folder.is_dir()

    def is_running(self, stage: str, digest: str) -> bool:
        """Whether what the folder of a stage holds was made from the same settings and inputs, but is not all."""
        entry = self._stages.get(FOLDERS[stage], {})
        return entry.get("status") == "running" and entry.get("digest") == digest

    def drop(self, stage: str) -> None:
        """Vouch no longer for what the folder of a stage holds."""
        if self._stages.pop(FOLDERS[stage], None) is not None:
            self._write()

    def forget(self, stage: str) -> None:
        """Drop a stage and what comes after it."""
        names = [known.name for known in STAGES]
        for name in names[names.index(stage) :]:
            self._stages.pop(FOLDERS[name], None)
        self._write()

    def record(self, stage: str, **entry: Any) -> None:
        """Write what is known of a stage."""
        self._stages[FOLDERS[stage]] = entry
        self._write()

    def _write(self) -> None:
        if is_main_process():
            write_json(self.path, {"stages": self._stages})


def _read_manifest(path: Path) -> dict[str, dict[str, Any]]:
    try:
        stages: dict[str, dict[str, Any]] = read_json(path)["stages"]
        wrong = [name for name, entry in stages.items() if not isinstance(entry, dict)]
    except (DataError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is no manifest of a run ({error.__cause__ or error}): {_MANIFEST_FIX}") from error
    if wrong:
        raise DataError(f"{path} is no manifest of a run (stage {wrong[0]} is no object): {_MANIFEST_FIX}")
    return stages
