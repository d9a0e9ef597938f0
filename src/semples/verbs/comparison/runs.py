"""``semples compare``: methods, or the variants of an ablation, over pairings and seeds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from semples.config import Config
from semples.data.scenes.settings import ScenesConfig
from semples.errors import ConfigError, did_you_mean
from semples.files import write_json
from semples.rundir.locks import locked
from semples.runtime.context import Run
from semples.runtime.setup import open_run
from semples.training.devices import make_accelerator
from semples.verbs.comparison.ablations import ABLATIONS, reference_of, score_variants
from semples.verbs.comparison.figure import draw_comparison
from semples.verbs.comparison.methods import METHODS, RunScores, score_methods
from semples.verbs.comparison.page import machine_kind, write_page
from semples.verbs.comparison.pairings import random_pairings
from semples.verbs.comparison.statistics import METRICS, Rows, differences, pooled, spread

ScoreRun = Callable[[Run, Callable[[object], None]], RunScores]
"""Runs and scores all rows of one run; the callable receives messages about progress."""


def compare(
    config: Config,
    seeds: int,
    out: Path | str,
    pairings: Sequence[Mapping[str, str]] | int | None = None,
    methods: Sequence[str] | None = None,
    ablation: str | None = None,
    results: Path | str | None = None,
    command: str | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Compare the full method with its parts and with others, over seeds and pairings of objects with contexts.

    Every method starts from the same classifier and trains for the same number of steps. ``manual`` is stage 3 with
    the class's true context word in place of the learned prompt, an upper bound for hand-written lists; ``generic``
    is stage 3 with one list for all classes (CLIMS); ``clip-es`` takes CAMs from the vision-language model itself.

    ``out`` gets ``compare.json`` and ``compare.png``, or ``ablation-NAME.json`` and ``.png``.

    Args:
        config: Settings; the reader must be ``scenes``.
        seeds: Number of seeds; each has its own scenes.
        out: Folder for the runs; finished results there are reused.
        pairings: Object -> context, one comparison each; a number draws that many at random; None takes the
            config's pairing.
        methods: Names of :data:`semples.verbs.comparison.methods.METHODS`; None takes all.
        ablation: Name of a table of :data:`semples.verbs.comparison.ablations.ABLATIONS` to compare instead.
        results: A Markdown page to write, with the figure and the JSON beside it.
        command: The command named on the page.
        quiet: Print nothing on standard error.

    Returns:
        The content of ``compare.json``: the record of one pairing, or ``{"runs": [...]}`` for several, with a
        ``"summary"`` over all pairings and seeds.

    Raises:
        ConfigError: The data are not scenes, a method or ablation does not exist, or the page has another suffix.
    """
    out, results = Path(out), None if results is None else Path(results)
    scenes = _checked_scenes(config, methods, ablation, results)
    if isinstance(pairings, int):
        pairings = random_pairings(pairings, len(scenes.pairs))
    score_run: ScoreRun = (
        partial(score_methods, chosen=list(methods or METHODS))
        if ablation is None
        else partial(score_variants, variants=ABLATIONS[ablation])
    )
    kind = "methods" if ablation is None else "variants"
    reference = _reference(config, ablation)
    runs = [
        _compare_pairing(config, replace(scenes, pairs=dict(pairs)), seeds, out, score_run, kind, reference, quiet)
        for pairs in (pairings or [scenes.pairs])
    ]
    result: dict[str, Any] = dict(runs[0]) if pairings is None else {"runs": runs}
    if ablation is not None:
        result = {"ablation": ablation, **result}
    rows = pooled([run[kind] for run in runs])
    result["summary"] = {kind: spread(rows), "differences": differences(rows, reference, ablation is None)}
    stem = "compare" if ablation is None else f"ablation-{ablation}"
    write_json(out / f"{stem}.json", result)
    draw_comparison(result, out / f"{stem}.png")
    if results is not None:
        device = make_accelerator(config.device, config.precision).device
        write_page(result, results, machine_kind(device), command)
    return result


def _checked_scenes(
    config: Config, methods: Sequence[str] | None, ablation: str | None, results: Path | None
) -> ScenesConfig:
    """Refuse arguments that make no sense; return the settings of the scenes."""
    if not isinstance(config.data, ScenesConfig):
        raise ConfigError(
            f'data.reader: "{config.data.reader}" has unknown contexts; compare needs the built-in scenes'
        )
    if not config.guidance.enabled:
        raise ConfigError("guidance.enabled: false, but compare is about guidance; set it to true")
    if ablation is not None and methods is not None:
        raise ConfigError("methods and ablation: an ablation has rows of its own; give only one of the two")
    if results is not None and results.suffix != ".md":
        raise ConfigError(f"results: {results} is not a Markdown page; expected a file name that ends with .md")
    for name in methods or ():
        _check_name("method", name, METHODS)
    if ablation is not None:
        _check_name("ablation", ablation, ABLATIONS)
    return config.data


def _check_name(kind: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise ConfigError(
            f'{kind}: "{name}" does not exist; expected one of {", ".join(known)}{did_you_mean(name, known)}'
        )


def _reference(config: Config, ablation: str | None) -> str | None:
    return "full" if ablation is None else reference_of(ABLATIONS[ablation], config)


def _compare_pairing(
    config: Config,
    scenes: ScenesConfig,
    seeds: int,
    out: Path,
    score_run: ScoreRun,
    kind: str,
    reference: str | None,
    quiet: bool,
) -> dict[str, Any]:
    """Compare over seeds for one assignment of contexts to objects; return its record."""
    name = hashlib.sha256(json.dumps([scenes.pairs, scenes.bias]).encode()).hexdigest()[:8]
    console = Console(stderr=True, highlight=False, quiet=quiet)
    scored = []
    for seed in range(seeds):
        console.print(f"pairing {name}, bias {scenes.bias}, seed {seed}")
        seeded = replace(config, seed=seed, data=scenes)
        directory = out / f"{name}-seed-{seed}"
        with locked(directory):
            scored.append(score_run(open_run(seeded, directory, quiet), console.print))
    remarks = list(dict.fromkeys(remark for one in scored for remark in one.remarks))
    rows = _rows(scored)
    if not rows and scored[0].supervised_bound is None:
        raise ConfigError(f"no rows to compare: {'; '.join(remarks)}; choose other methods or models")
    record: dict[str, Any] = {"seeds": list(range(seeds)), "bias": scenes.bias, "pairs": scenes.pairs, kind: rows}
    if kind == "methods":
        bounds = [one.supervised_bound for one in scored if one.supervised_bound is not None]
        record |= {
            "supervised_bound": bounds or None,
            "words": [one.words for one in scored if one.words is not None],
            "words_found": [one.words_found["full"] for one in scored if "full" in one.words_found],
        }
    else:
        found = scored[0].words_found
        record["words_found"] = {label: [one.words_found[label] for one in scored] for label in found}
    record["differences"] = differences(rows, reference, kind == "methods")
    record["remarks"] = remarks
    return record


def _rows(scored: Sequence[RunScores]) -> Rows:
    """Return row -> metric -> one value per seed."""
    return {
        name: {metric: [(one.rows[name] or {})[metric] for one in scored] for metric in METRICS} if first else None
        for name, first in scored[0].rows.items()
    }
