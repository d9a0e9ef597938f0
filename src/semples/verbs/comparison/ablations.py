"""Runs ablations, tables of settings with one run per row; rows share all stages that their settings do not affect."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from semples.config import Config
from semples.config.loading import changed_config
from semples.runtime.context import Run
from semples.runtime.setup import open_run
from semples.stages.pipeline import STAGES, open_manifest, run_stages
from semples.verbs.comparison.methods import RunScores, contexts_named, learned_words, score_stage


@dataclass(frozen=True)
class Variant:
    """One row of an ablation.

    Attributes:
        settings: Values by dotted name that differ from the base run's.
        stage: The stage whose CAMs are scored.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    stage: str = "refine"


def _sweep(values: Sequence[float], *keys: str) -> dict[str, Variant]:
    name = keys[-1].partition(".")[2]
    return {f"{name} {value:g}": Variant(dict.fromkeys(keys, value)) for value in values}


_NO_BACKGROUND = {"match.lambda_background": 0.0, "refine.lambda_background": 0.0}

ABLATIONS: dict[str, dict[str, Variant]] = {
    "losses": {
        "CAM": Variant(stage="classify"),
        "match": Variant(stage="match"),
        "match, no background term": Variant(_NO_BACKGROUND, "match"),
        "full, no background term": Variant(_NO_BACKGROUND),
        "full, no suppression": Variant({"refine.lambda_suppress": 0.0}),
        "full, prompts not repelled": Variant({"prompts.lambda_text": 0.0}),
        "full": Variant(),
    },
    "prompt-length": _sweep((1, 2, 4, 8, 16, 30), "prompts.length"),
    "lambda-text": _sweep((0.0, 0.002, 0.02, 0.2, 2.0), "prompts.lambda_text"),
    "lambda-suppress": _sweep((0.0, 0.05, 0.2, 0.5, 1.0, 2.0), "refine.lambda_suppress"),
    "lambda-background": _sweep((0.0, 0.25, 0.5, 1.0, 2.4), "match.lambda_background", "refine.lambda_background"),
}
"""Name -> variants by label, as in the paper's tables. The values of a sweep include the default."""


def reference_of(variants: Mapping[str, Variant], config: Config) -> str | None:
    """Return the name of the last variant that equals the full method with the given settings, or None."""
    same = [
        name
        for name, variant in variants.items()
        if variant.stage == "refine" and changed_config(config, variant.settings) == config
    ]
    return same[-1] if same else None


def score_variants(base: Run, report_progress: Callable[[object], None], variants: Mapping[str, Variant]) -> RunScores:
    """Run or reuse every variant of one run; prompts too long for the model's text encoder are left out."""
    run_stages(base, until="refine", listener=report_progress)
    rows, found, remarks = {}, {}, []
    longest = base.models.vision_language.longest_prompt
    for label, variant in variants.items():
        if variant.settings.get("prompts.length", 0) > longest:
            remarks.append(f"{label} is left out: the text encoder has room for {longest} vectors")
            continue
        report_progress(label)
        run = variant_run(base, variant)
        if run is not base:
            share_stages(base, run)
            # Thresholds are chosen by prompts even in rows that train without them.
            run_stages(run, until="refine" if variant.stage == "refine" else "prompts", listener=report_progress)
        rows[label] = score_stage(run, variant.stage, with_prompts=True)
        if variant.stage == "refine":
            found[label] = contexts_named(run, learned_words(run))
    return RunScores(rows, words_found=found, remarks=tuple(remarks))


def variant_run(base: Run, variant: Variant) -> Run:
    """Open the run of a variant, on the images of its base; the base itself where the settings are the same."""
    config = changed_config(base.config, variant.settings)
    if config == base.config:
        return base
    name = ",".join(f"{key}={value:g}" for key, value in variant.settings.items())
    root = Path(config.data.root) if config.data.root else base.directory.scenes
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, root=str(root)))
    return open_run(config, base.directory.variant(name).path)


def share_stages(source: Run, target: Run) -> None:
    """Copy results from ``source`` for all stages with the same digest that ``target`` lacks; record skipped stages."""
    source_manifest, target_manifest = open_manifest(source), open_manifest(target)
    for stage in STAGES:
        digest = stage.digest(target, target_manifest)
        entry = source_manifest.entry(stage.name)
        if entry is None or entry.digest != digest:
            continue
        if entry.status == "skipped":
            target_manifest.record(stage.name, entry)
        if target_manifest.is_done(stage.name, digest) or not source_manifest.is_done(stage.name, digest):
            continue
        target_manifest.invalidate(stage.name)
        folder = target.directory.folder(stage.name)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(source.directory.folder(stage.name), folder)
        target_manifest.record(stage.name, entry)
