"""The verbs of the command line: their arguments, the function each one calls, and the output."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from semples.cli.parser import (
    ABLATIONS,
    FORMATS,
    METHODS,
    Parser,
    class_names,
    count,
    is_first_launched,
    one_of,
    read_pairings,
    some_of,
)
from semples.config.loading import config_to_yaml, load_config, load_demo_config
from semples.errors import ConfigError
from semples.rundir.layout import STAGE_NAMES, RunDirectory

if TYPE_CHECKING:
    from rich.table import Table

    from semples.stages.updates import StageUpdate

Result = TypeVar("Result")


def _demo_arguments(parser: Parser) -> None:
    _add_out(parser, "run directory", Path("runs/demo"))
    _add_run_options(parser)


def _demo(arguments: argparse.Namespace) -> None:
    config = load_demo_config(arguments.settings)
    import semples

    options = _run_options(arguments)
    _show_run(semples.demo(out=arguments.out, config=config, **options), arguments)


def _run_arguments(parser: Parser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings in YAML")
    parser.add_argument("--out", type=Path, metavar="DIR", help="run directory (default: runs/NAME of FILE)")
    parser.add_argument("--until", type=one_of("stage", STAGE_NAMES), metavar="STAGE", help="stop after this stage")
    _add_run_options(parser)
    _add_skip_bad_images(parser)
    parser.add_argument("--print_config", action="store_true", help="print the settings, defaults included, and exit")


def _run(arguments: argparse.Namespace) -> None:
    flag = ["--data.skip_bad_images=true"] if arguments.skip_bad_images else []
    config = load_config(arguments.config, [*arguments.settings, *flag])
    if arguments.print_config:
        print(config_to_yaml(config) if is_first_launched() else "", end="")
        return
    if arguments.config is None:
        raise ConfigError("run needs --config FILE; `semples run --print_config` prints one to start from")
    import semples

    run = semples.run(
        config=config,
        out=arguments.out or Path("runs") / arguments.config.stem,
        until=arguments.until,
        **_run_options(arguments),
    )
    _show_run(run, arguments)


def _predict_arguments(parser: Parser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL", help="run directory, or the model folder inside it")
    parser.add_argument(
        "images", type=Path, nargs="+", metavar="IMAGE", help='image files, folders, or patterns such as "photos/*.jpg"'
    )
    _add_out(parser, "folder for masks and overlays")
    parser.add_argument("--no-overlays", dest="overlays", action="store_false", help="write only the masks")
    _add_skip_bad_images(parser)
    _add_output_options(parser, "no progress, only the result")


def _predict(arguments: argparse.Namespace) -> None:
    import semples

    written = semples.predict(
        model=arguments.model,
        images=arguments.images,
        out=arguments.out,
        overlays=arguments.overlays,
        quiet=arguments.quiet,
        skip_bad_images=arguments.skip_bad_images,
    )
    if arguments.json:
        _print_json({"out": arguments.out, "masks": written})
    else:
        print(f"{len(written)} {'mask' if len(written) == 1 else 'masks'} in {arguments.out}")


def _evaluate_arguments(parser: Parser) -> None:
    parser.add_argument("predictions", type=Path, metavar="PREDICTIONS", help="folder of predicted masks")
    parser.add_argument("truth", type=Path, metavar="TRUTH", help="folder of ground-truth masks")
    parser.add_argument(
        "--classes",
        type=class_names,
        required=True,
        metavar="NAMES",
        help="names in mask order without background: a,b,c, a file with one per line, or only their number",
    )
    _add_json(parser)


def _evaluate(arguments: argparse.Namespace) -> None:
    import semples
    from semples.cli import terminal_tables

    evaluation = semples.evaluate(predictions=arguments.predictions, truth=arguments.truth, classes=arguments.classes)
    _show(evaluation, terminal_tables.scores_table, arguments)


def _prompts_arguments(parser: Parser) -> None:
    _add_run_directory(parser)
    _add_json(parser)


def _prompts(arguments: argparse.Namespace) -> None:
    import semples
    from semples.cli import terminal_tables

    _show(semples.prompts(run=arguments.run), terminal_tables.words_table, arguments)


def _export_arguments(parser: Parser) -> None:
    _add_run_directory(parser)
    parser.add_argument(
        "--format",
        type=one_of("format", FORMATS),
        required=True,
        metavar="FORMAT",
        help="coco: one json with RLE masks; voc: palette PNGs with labelmap.txt; onnx: the segmentation network",
    )
    parser.add_argument("--with-images", action="store_true", help="copy the images too (coco and voc)")


def _export(arguments: argparse.Namespace) -> None:
    import semples

    print(semples.export(run=arguments.run, format=arguments.format, with_images=arguments.with_images))


def _report(arguments: argparse.Namespace) -> None:
    import semples

    print(semples.report(run=arguments.run))


def _compare_arguments(parser: Parser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings in YAML (default: built-in scenes)")
    parser.add_argument("--seeds", type=count, default=3, metavar="N", help="number of seeds (default: 3)")
    _add_out(parser, "folder for the runs", Path("runs/compare"))
    parser.add_argument(
        "--pairings",
        metavar="N|FILE",
        help="scenes: number of random pairings of objects with contexts, or a JSON list of {object: context}",
    )
    parser.add_argument(
        "--methods",
        type=some_of("method", METHODS),
        metavar="NAMES",
        help=f"some of {','.join(METHODS)} (default: those that suit the images)",
    )
    parser.add_argument(
        "--ablation",
        type=one_of("ablation", ABLATIONS),
        metavar="NAME",
        help=f"scenes: compare the variants of an ablation instead: {', '.join(ABLATIONS)}",
    )
    parser.add_argument(
        "--contexts",
        type=Path,
        metavar="FILE",
        help='judge learned prompts by a JSON file {"vocabulary": nouns, "contexts": {class: right nouns}}',
    )
    parser.add_argument(
        "--results", type=Path, metavar="PAGE", help="write a page, FILE.md or into a folder, with figure and JSON"
    )
    _add_output_options(parser, "no progress, only the result")


def _compare(arguments: argparse.Namespace) -> None:
    config = load_config(arguments.config, arguments.settings)
    pairings = None if arguments.pairings is None else read_pairings(arguments.pairings)
    import semples
    from semples.cli import terminal_tables

    result = semples.compare(
        config=config,
        seeds=arguments.seeds,
        out=arguments.out,
        pairings=pairings,
        methods=arguments.methods,
        ablation=arguments.ablation,
        results=arguments.results,
        command=shlex.join(["semples", *arguments.words]),
        quiet=arguments.quiet,
        contexts=arguments.contexts,
    )
    if not arguments.json:
        _print_table(terminal_tables.comparison_table(result))
    _print_json(result)


def _doctor_arguments(parser: Parser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings of the planned run, in YAML")
    _add_out(parser, "where the run would write", Path("runs"))
    _add_json(parser)


def _doctor(arguments: argparse.Namespace) -> None:
    config = load_config(arguments.config, arguments.settings)
    import semples
    from semples.cli import terminal_tables

    findings = semples.doctor(config=config, out=arguments.out)
    _show([asdict(finding) for finding in findings], terminal_tables.findings_table, arguments)
    problems = sum(finding.state == "problem" for finding in findings)
    if problems:
        raise ConfigError(f"{problems} problem{'s' * (problems > 1)} found; see the advice above")


def _init_arguments(parser: Parser) -> None:
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder of your images")
    parser.add_argument("--out", type=Path, metavar="FILE", help="config to write (default: NAME.yaml of FOLDER)")


def _init(arguments: argparse.Namespace) -> None:
    import semples

    start = semples.init(folder=arguments.folder, config=arguments.out)
    train, val = start.images
    print(f"{start.reader}: {train} training and {val} held-out images of {len(start.per_class)} classes")
    for warning in start.warnings:
        print(f"warning: {warning}")
    print(f"config: {start.config} (next: semples doctor --config {start.config})")


def _add_out(parser: Parser, what: str, default: Path | None = None) -> None:
    parser.add_argument(
        "--out",
        type=Path,
        default=default,
        required=default is None,
        metavar="DIR",
        help=f"{what} (default: {default})" if default else what,
    )


def _add_run_options(parser: Parser) -> None:
    parser.add_argument(
        "--force", type=one_of("stage", STAGE_NAMES), metavar="STAGE", help="run this stage and all later ones again"
    )
    _add_output_options(parser, "print errors only")


def _add_output_options(parser: Parser, quiet: str) -> None:
    parser.add_argument("--quiet", action="store_true", help=quiet)
    _add_json(parser)


def _add_json(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables (docs/artefacts.md)")


def _add_skip_bad_images(parser: Parser) -> None:
    help = "read all images first, skip those that cannot be read, and list them in skipped.json"
    parser.add_argument("--skip-bad-images", action="store_true", help=help)


def _add_run_directory(parser: Parser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="run directory")


def _run_options(arguments: argparse.Namespace) -> dict[str, Any]:
    def print_update(update: StageUpdate) -> None:
        _print_json({"event": "stage", **asdict(update)})

    listener = print_update if arguments.json else None
    return {"force": arguments.force, "quiet": arguments.quiet, "on_stage": listener}


def _show_run(run: Path, arguments: argparse.Namespace) -> None:
    """Print the scores of a run, or its stages if it has no scores, and the path of its report."""
    if not is_first_launched():
        return
    from semples.cli import terminal_tables
    from semples.rundir.evaluation import read_evaluation
    from semples.rundir.results import RunResult

    result, file = RunResult(run), RunDirectory(run).evaluation
    scores = read_evaluation(file) if file.is_file() else None
    report = result.report if result.report.is_file() else None
    if arguments.json:
        _print_json({"event": "result", "run": run, "report": report, "evaluation": result.evaluation})
    elif not arguments.quiet:
        if scores is not None:
            _print_table(terminal_tables.evaluation_table(scores))
        elif result.stages:
            _print_table(terminal_tables.stages_table(result.stages))
        print(f"report: {report}" if report else f"run directory: {run}")


def _show(result: Result, table: Callable[[Result], Table], arguments: argparse.Namespace) -> None:
    """Print the result of a verb, as a table or as JSON."""
    if arguments.json:
        _print_json(result)
    else:
        _print_table(table(result))


def _print_table(table: Table) -> None:
    from rich.console import Console

    Console().print(table)


def _print_json(value: object) -> None:
    """Print a value as one line of JSON, paths as text, without buffering: programs read it while the run continues."""
    print(json.dumps(value, default=str), flush=True)


VERBS: dict[str, tuple[Callable[[argparse.Namespace], None], bool, Callable[[Parser], None], str]] = {
    "demo": (_demo, True, _demo_arguments, "run the whole pipeline on built-in scenes, without downloads"),
    "run": (_run, True, _run_arguments, "run the whole pipeline on your data; resumes where it stopped"),
    "init": (_init, False, _init_arguments, "write a first config for your own folder of images"),
    "predict": (_predict, False, _predict_arguments, "write masks and overlays for new images"),
    "evaluate": (_evaluate, False, _evaluate_arguments, "score one folder of masks against another"),
    "prompts": (_prompts, False, _prompts_arguments, "show the learned background prompts in words"),
    "export": (
        _export,
        False,
        _export_arguments,
        "export pseudo masks (COCO, VOC) or the network (ONNX) for other tools",
    ),
    "report": (_report, False, _add_run_directory, "rebuild report.html of a run"),
    "compare": (
        _compare,
        True,
        _compare_arguments,
        "compare methods over seeds, on built-in scenes or your images with masks",
    ),
    "doctor": (_doctor, True, _doctor_arguments, "check this machine, the models and the data before a run"),
}
