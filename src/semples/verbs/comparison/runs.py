"""``semples compare``: methods, or the variants of an ablation, over seeds and, on scenes, over pairings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from semples.config import Config
from semples.data.scenes.settings import ScenesConfig
from semples.errors import ConfigError, DataError, did_you_mean
from semples.files import write_json
from semples.rundir.locks import locked
from semples.runtime.context import Run
from semples.runtime.setup import open_run
from semples.training.devices import make_accelerator
from semples.verbs.comparison.ablations import ABLATIONS, reference_of, score_variants
from semples.verbs.comparison.figure import draw_comparison
from semples.verbs.comparison.method_runs import MethodScorer
from semples.verbs.comparison.methods import METHODS, default_methods
from semples.verbs.comparison.page import machine_kind, page_file, write_page
from semples.verbs.comparison.pairings import random_pairings
from semples.verbs.comparison.records import facts_of, record_of
from semples.verbs.comparison.scores import RunScores
from semples.verbs.comparison.statistics import differences, pooled, spread
from semples.verbs.comparison.yardstick import Yardstick, paired_contexts, read_yardstick

ScoreRun = Callable[[Run, Callable[[object], None]], RunScores]
"""Runs and scores all rows of one run; the callable receives messages about progress."""


@dataclass(frozen=True)
class _Group:
    """Runs that differ in nothing but their seed.

    Attributes:
        config: Their settings.
        title: Says in messages which runs these are.
        prefix: Name of their run directories, without the seed.
    """

    config: Config
    title: str
    prefix: str


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
    contexts: Path | str | None = None,
) -> dict[str, Any]:
    """Compare the full method with its parts and with others over seeds, on scenes or on your own images with masks.

    Rows with the same mask generator start from the same classifier and train for the same number of steps. ``manual``
    is stage 3 with the class's true context word in place of the learned prompt, an upper bound for hand-written lists;
    ``generic`` is stage 3 with one list for all classes (CLIMS); ``clip-es`` takes CAMs from the vision-language model
    itself; the rows ``dense-...`` are those of generator dense with other background texts each.

    ``out`` gets ``compare.json`` and ``compare.png``, or ``ablation-NAME.json`` and ``.png``.

    Args:
        config: Settings.
        seeds: Number of seeds. Each has its own scenes; your own images are the same for all, and a row in which
            nothing depends on the seed is then run once.
        out: Folder for the runs; finished results there are reused.
        pairings: Object -> context, one comparison each; a number draws that many at random; None takes the
            config's pairing. Scenes only.
        methods: Names of :data:`semples.verbs.comparison.methods.METHODS`; None takes those that suit the images.
        ablation: Name of a table of :data:`semples.verbs.comparison.ablations.ABLATIONS` to compare instead. Scenes
            only.
        results: A Markdown page to write, with the figure and the JSON beside it; or a folder, in which the page has
            the name of ``out``.
        command: The command named on the page.
        quiet: Print nothing on standard error.
        contexts: JSON file by which learned prompts are judged: ``vocabulary``, all candidate nouns, and ``contexts``:
            class -> its right nouns. A prompt is right if the candidate nearest to it is. None: on scenes their own
            contexts, else no judgement.

    Returns:
        The content of ``compare.json``: one record, or ``{"runs": [...]}`` for several pairings, with a
        ``"summary"`` over all pairings and seeds.

    Raises:
        ConfigError: A method or ablation does not exist or does not suit the images, the page has another suffix, or
            the file of nouns is wrong.
        DataError: No training image has a ground-truth mask.
    """
    out = Path(out)
    page = None if results is None else page_file(Path(results), out)
    _check_arguments(config, methods, ablation, pairings is not None, contexts is not None)
    nouns = None if contexts is None else read_yardstick(Path(contexts))
    kind = "methods" if ablation is None else "variants"
    reference = "full" if ablation is None else reference_of(ABLATIONS[ablation], config)
    runs = [
        _compare_group(
            group, seeds, out, _row_scorer(group.config, methods, ablation, nouns, quiet), kind, reference, quiet
        )
        for group in _groups(config, pairings)
    ]
    result: dict[str, Any] = dict(runs[0]) if pairings is None else {"runs": runs}
    if ablation is not None:
        result = {"ablation": ablation, **result}
    rows = pooled([run[kind] for run in runs])
    result["summary"] = {kind: spread(rows), "differences": differences(rows, reference, ablation is None)}
    if ablation is None:
        result["summary"]["masks"] = spread(pooled([run["masks"] for run in runs]))
    stem = "compare" if ablation is None else f"ablation-{ablation}"
    write_json(out / f"{stem}.json", result)
    draw_comparison(result, out / f"{stem}.png")
    if page is not None:
        device = make_accelerator(config.device, config.precision).device
        write_page(result, page, machine_kind(device), command)
    return result


def _check_arguments(
    config: Config, methods: Sequence[str] | None, ablation: str | None, with_pairings: bool, with_contexts: bool
) -> None:
    """Refuse arguments that make no sense."""
    if not isinstance(config.data, ScenesConfig):
        for name in ("pairings",) * with_pairings + ("ablation",) * (ablation is not None):
            raise ConfigError(
                f'{name}: data.reader is "{config.data.reader}", whose images have unknown contexts; compare methods, '
                "or use the built-in scenes"
            )
    if not config.guidance.enabled:
        raise ConfigError("guidance.enabled: false, but compare is about guidance; set it to true")
    if ablation is not None and methods is not None:
        raise ConfigError("methods and ablation: an ablation has rows of its own; give only one of the two")
    if ablation is not None and with_contexts:
        raise ConfigError("contexts and ablation: an ablation is judged by the contexts of its scenes; omit contexts")
    for name in methods or ():
        _check_name("method", name, METHODS)
    if ablation is not None:
        _check_name("ablation", ablation, ABLATIONS)


def _check_name(kind: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise ConfigError(
            f'{kind}: "{name}" does not exist; expected one of {", ".join(known)}{did_you_mean(name, known)}'
        )


def _groups(config: Config, pairings: Sequence[Mapping[str, str]] | int | None) -> Iterator[_Group]:
    """Yield one group for each pairing of scenes, or the only group of other data."""
    scenes = config.data
    if not isinstance(scenes, ScenesConfig):
        yield _Group(config, f"reader {scenes.reader}", "seed-")
        return
    if isinstance(pairings, int):
        pairings = random_pairings(pairings, len(scenes.pairs))
    for pairs in pairings or [scenes.pairs]:
        name = hashlib.sha256(json.dumps([dict(pairs), scenes.bias]).encode()).hexdigest()[:8]
        paired = replace(config, data=replace(scenes, pairs=dict(pairs)))
        yield _Group(paired, f"pairing {name}, bias {scenes.bias}", f"{name}-seed-")


def _row_scorer(
    config: Config, methods: Sequence[str] | None, ablation: str | None, nouns: Yardstick | None, quiet: bool
) -> ScoreRun:
    if ablation is not None:
        return partial(score_variants, variants=ABLATIONS[ablation], quiet=quiet)
    same_images = not isinstance(config.data, ScenesConfig)
    return MethodScorer(methods or default_methods(config), nouns or paired_contexts(config), same_images, quiet)


def _compare_group(
    group: _Group, seeds: int, out: Path, score_run: ScoreRun, kind: str, reference: str | None, quiet: bool
) -> dict[str, Any]:
    """Compare over seeds; return the record."""
    console = Console(stderr=True, highlight=False, quiet=quiet)
    scored: list[RunScores] = []
    facts: dict[str, Any] = {}
    for seed in range(seeds):
        console.print(f"{group.title}, seed {seed}")
        directory = out / f"{group.prefix}{seed}"
        with locked(directory):
            run = open_run(replace(group.config, seed=seed), directory, quiet)
            if not any(sample.mask_path for sample in run.dataset.train):
                raise DataError(
                    f"data.root: {run.config.data.root} has no ground-truth mask of a training image; compare scores "
                    "against masks"
                )
            facts = facts or facts_of(run)
            scored.append(score_run(run, console.print))
    if not any(one.rows for one in scored) and scored[0].supervised_bound is None:
        remarks = dict.fromkeys(remark for one in scored for remark in one.remarks)
        raise ConfigError(f"no rows to compare: {'; '.join(remarks)}; choose other methods or models")
    return record_of(scored, facts, kind, reference)
