"""Runs ablations, tables of settings with one run per row; rows share all stages that their settings do not affect."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from semples.config import Config
from semples.config.loading import changed_config
from semples.runtime.context import Run
from semples.stages.evaluation import score_cams
from semples.stages.pipeline import run_stages
from semples.verbs.comparison.scores import RowScores, RunScores
from semples.verbs.comparison.sharing import share_stages, variant_run
from semples.verbs.comparison.yardstick import paired_contexts


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


def score_variants(
    base: Run, report_progress: Callable[[object], None], variants: Mapping[str, Variant], quiet: bool = False
) -> RunScores:
    """Run or reuse every variant of one run; prompts too long for the model's text encoder are left out."""
    run_stages(base, until="refine", listener=report_progress)
    rows: dict[str, RowScores | None] = {}
    remarks = []
    longest = base.models.vision_language.longest_prompt
    for label, variant in variants.items():
        if variant.settings.get("prompts.length", 0) > longest:
            remarks.append(f"{label} is left out: the text encoder has room for {longest} vectors")
            continue
        report_progress(label)
        name = ",".join(f"{key}={value:g}" for key, value in variant.settings.items())
        run = variant_run(base, variant.settings, name, quiet)
        if run is not base:
            share_stages([base.directory], run)
            # Thresholds are chosen by prompts even in rows that train without them.
            run_stages(run, until="refine" if variant.stage == "refine" else "prompts", listener=report_progress)
        cams = score_cams(run, variant.stage)
        contexts = paired_contexts(run.config)
        words_right = contexts.count(contexts.nearest(run)) if contexts and variant.stage == "refine" else None
        rows[label] = None if cams is None else RowScores(cams, words_right=words_right)
    return RunScores(rows, remarks=tuple(remarks))
