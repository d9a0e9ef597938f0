"""The method against its own parts, on built-in scenes, over seeds and pairings."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch
from rich.console import Console

from semples.config import Config
from semples.errors import ConfigError
from semples.files import read_json, write_json
from semples.locks import locked
from semples.stages.evaluate import score_cams, score_masks
from semples.stages.guided import leave_out
from semples.stages.opening import open_run
from semples.stages.pipeline import STAGES, Manifest, Stage, perform, run_stages, stage_digest
from semples.stages.run import Run

METHODS = {"classify": "classify", "match": "match", "manual": "manual", "full": "refine"}
"""Method -> the stage whose CAMs it is judged by."""
FIGURES = ("miou", "oracle_miou", "false_positive", "false_negative")

STUDENT_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
"""Quantile 0.975 of Student's t with 1, 2, ... degrees of freedom (any statistics textbook)."""


def compare(
    config: Config, seeds: int, out: Path, pairings: Sequence[Mapping[str, str]] | None = None
) -> dict[str, Any]:
    """Compare CAM, matching alone, hand-written background prompts and the full method.

    Every method starts from the same classifier and trains for the same number of steps. ``manual`` is stage 3 with
    the class's true context word in place of the learned prompt: an upper bound for hand-written lists.

    Args:
        config: Settings; the reader has to be ``scenes``.
        seeds: Number of seeds; each has its own scenes.
        out: Folder for the runs; what is finished there is not computed again.
        pairings: Object -> context, one comparison each; None takes that of the config.

    Returns:
        The record that DESIGN calls compare's last line; with several pairings ``{"runs": [...]}``.
    """
    if config.data.reader != "scenes":
        raise ConfigError(
            f"data.reader is {config.data.reader}: compare needs the built-in scenes, whose contexts are known"
        )
    runs = [_compare_pairing(config, dict(pairs), seeds, out) for pairs in pairings or [config.data.pairs]]
    return runs[0] if pairings is None else {"runs": runs}


def _compare_pairing(config: Config, pairs: dict[str, str], seeds: int, out: Path) -> dict[str, Any]:
    """Compare over seeds for one assignment of contexts to objects."""
    name = hashlib.sha256(json.dumps([pairs, config.data.bias]).encode()).hexdigest()[:8]
    console = Console(stderr=True, highlight=False)
    results = []
    for seed in range(seeds):
        console.print(f"pairing {name}, bias {config.data.bias}, seed {seed}")
        seeded = dataclasses.replace(config, seed=seed, data=dataclasses.replace(config.data, pairs=pairs))
        directory = out / f"{name}-seed-{seed}"
        with locked(directory):
            results.append(_compare_seed(open_run(seeded, directory), console))
    methods = {
        method: {figure: [result["cams"][method][figure] for result in results] for figure in FIGURES}
        if results[0]["cams"][method]
        else None
        for method in METHODS
    }
    oracle = {method: figures["oracle_miou"] for method, figures in methods.items() if figures}
    return {
        "seeds": list(range(seeds)),
        "bias": config.data.bias,
        "pairs": pairs,
        "methods": methods,
        "supervised_bound": [result["supervised_bound"] for result in results],
        "words": [result["words"] for result in results],
        "words_found": [sum(pairs[c] == word for c, word in result["words"].items()) for result in results],
        "differences": {
            f"full - {other}": paired_difference(oracle["full"], oracle[other])
            for other in ("classify", "match", "manual")
            if other in oracle
        },
    }


def _compare_seed(run: Run, console: Console) -> dict[str, Any]:
    """Run or reuse all methods of one seed."""
    run_stages(run, until="refine", tell=console.print)
    manifest = Manifest(run.directory / "manifest.json")
    bound = next(stage for stage in STAGES if stage.name == "supervised-bound")
    for stage in (MANUAL, bound):
        digest = stage_digest(stage, run, manifest)
        if not manifest.is_done(stage.name, digest):
            perform(stage, run, manifest, digest, console.print)
    record = {
        "cams": {method: _scored(run, stage) for method, stage in METHODS.items()},
        "supervised_bound": (score_masks(run, "val", run.folder("supervised-bound") / "predictions") or {})["miou"],
        "words": {
            name: found[-1][0][0] for name, found in read_json(run.folder("prompts") / "words.json")["words"].items()
        },
    }
    write_json(run.directory / "comparison.json", record)
    return record


def _manual(run: Run) -> None:
    """Stage 3 with the true context words as prompts."""
    contexts = [run.config.data.pairs[name] for name in run.dataset.catalogue.names]
    with torch.no_grad():
        features = run.vision_language.encode_classes(contexts)
    leave_out(run, "manual", features)


MANUAL = Stage(
    "manual", _manual, ("seed", "data", "mask_generator", "vision_language", "refine", "cams"), ("classify",)
)


def _scored(run: Run, stage: str) -> dict[str, float] | None:
    """Scores at the threshold chosen without masks; false positives and negatives at the oracle threshold.

    None where the generator has nothing to train and the stage was skipped.
    """
    scores = score_cams(run, stage)
    if scores is None:
        return None
    return {
        "miou": scores["miou"],
        "oracle_miou": scores["oracle_miou"],
        "false_positive": scores["oracle_false_positive"],
        "false_negative": scores["oracle_false_negative"],
    }


def paired_difference(first: Sequence[float], second: Sequence[float]) -> dict[str, Any]:
    """Mean of first - second over seeds, and its 95 % interval (paired Student's t; null for one seed)."""
    differences = [a - b for a, b in zip(first, second, strict=True)]
    mean, count = fmean(differences), len(differences)
    if count < 2:
        return {"mean": mean, "interval": None}
    quantile = STUDENT_975[count - 2] if count - 2 < len(STUDENT_975) else 2.2
    reach = quantile * stdev(differences) / math.sqrt(count)
    return {"mean": mean, "interval": [mean - reach, mean + reach]}
