"""The verbs: their arguments, one call of :mod:`semples.api`, tables and paths out."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from semples.cli.parser import Parser, class_names, count, format_name, is_first_launched, read_pairings, stage_name
from semples.errors import ConfigError
from semples.files import read_json
from semples.settings import config_to_yaml, load_config

if TYPE_CHECKING:
    from rich.table import Table


def _demo_arguments(parser: Parser) -> None:
    _add_out(parser, "run directory", Path("runs/demo"))
    _add_run_options(parser)


def _demo(arguments: argparse.Namespace) -> None:
    config = load_config(overrides=arguments.settings)
    from semples import api

    api.demo(out=arguments.out, config=config, force=arguments.force, quiet=arguments.quiet)
    _show_run(arguments.out)


def _run_arguments(parser: Parser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings in YAML")
    parser.add_argument("--out", type=Path, metavar="DIR", help="run directory (default: runs/NAME of FILE)")
    parser.add_argument("--until", type=stage_name, metavar="STAGE", help="stop after this stage")
    _add_run_options(parser)
    parser.add_argument("--print_config", action="store_true", help="print the settings, defaults included, and stop")


def _run(arguments: argparse.Namespace) -> None:
    config = load_config(arguments.config, arguments.settings)
    if arguments.print_config:
        print(config_to_yaml(config) if is_first_launched() else "", end="")
        return
    if arguments.config is None:
        raise ConfigError("run needs --config FILE (`semples run --print_config` prints one to start from)")
    from semples import api

    run = api.run(
        config=config,
        out=arguments.out or Path("runs") / arguments.config.stem,
        until=arguments.until,
        force=arguments.force,
        quiet=arguments.quiet,
    )
    _show_run(run)


def _predict_arguments(parser: Parser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL", help="run directory, or the model folder inside it")
    parser.add_argument(
        "images", type=Path, nargs="+", metavar="IMAGE", help='image files, folders, or patterns such as "photos/*.jpg"'
    )
    _add_out(parser, "folder for masks and overlays")
    parser.add_argument("--no-overlays", dest="overlays", action="store_false", help="write the masks alone")
    parser.add_argument("--quiet", action="store_true", help="no progress, only the result")


def _predict(arguments: argparse.Namespace) -> None:
    from semples import api

    written = api.predict(
        model=arguments.model,
        images=arguments.images,
        out=arguments.out,
        overlays=arguments.overlays,
        quiet=arguments.quiet,
    )
    print(f"{len(written)} {'mask' if len(written) == 1 else 'masks'} in {arguments.out}")


def _evaluate_arguments(parser: Parser) -> None:
    parser.add_argument("predictions", type=Path, metavar="PREDICTIONS", help="folder of predicted masks")
    parser.add_argument("truth", type=Path, metavar="TRUTH", help="folder of ground-truth masks")
    parser.add_argument(
        "--classes",
        type=class_names,
        required=True,
        metavar="NAMES",
        help="names in mask order without background: a,b,c, a file with one a line, or just their number",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _evaluate(arguments: argparse.Namespace) -> None:
    from semples import api, tables

    evaluation = api.evaluate(predictions=arguments.predictions, truth=arguments.truth, classes=arguments.classes)
    if arguments.json:
        print(json.dumps(evaluation))
    else:
        _print_table(tables.scores_table(evaluation))


def _prompts(arguments: argparse.Namespace) -> None:
    from semples import api, tables

    _print_table(tables.words_table(api.prompts(run=arguments.run)))


def _export_arguments(parser: Parser) -> None:
    _add_run_directory(parser)
    parser.add_argument(
        "--format",
        type=format_name,
        required=True,
        metavar="FORMAT",
        help="coco: one json with RLE masks; voc: palette PNGs with labelmap.txt; onnx: the segmentation network",
    )
    parser.add_argument("--with-images", action="store_true", help="copy the images too (coco and voc)")


def _export(arguments: argparse.Namespace) -> None:
    from semples import api

    print(api.export(run=arguments.run, format=arguments.format, with_images=arguments.with_images))


def _report(arguments: argparse.Namespace) -> None:
    from semples import api

    print(api.report(run=arguments.run))


def _compare_arguments(parser: Parser) -> None:
    parser.add_argument("--seeds", type=count, default=3, metavar="N", help="number of seeds (default: 3)")
    _add_out(parser, "folder for the runs", Path("runs/compare"))
    parser.add_argument(
        "--pairings", type=Path, metavar="FILE", help="JSON list of objects class -> context, one run each"
    )


def _compare(arguments: argparse.Namespace) -> None:
    config = load_config(overrides=arguments.settings)
    pairings = None if arguments.pairings is None else read_pairings(arguments.pairings)
    from semples import api, tables

    result = api.compare(config=config, seeds=arguments.seeds, out=arguments.out, pairings=pairings)
    _print_table(tables.comparison_table(result))
    print(json.dumps(result))


def _doctor_arguments(parser: Parser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings of the run to be, in YAML")
    _add_out(parser, "where it would write", Path("runs"))


def _doctor(arguments: argparse.Namespace) -> None:
    config = load_config(arguments.config, arguments.settings)
    from semples import api, tables

    findings = api.doctor(config=config, out=arguments.out)
    _print_table(tables.findings_table([asdict(finding) for finding in findings]))
    problems = sum(finding.state == "problem" for finding in findings)
    if problems:
        raise ConfigError(f"{problems} problem{'s' * (problems > 1)}: do what the table says")


def _init_arguments(parser: Parser) -> None:
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder of your images")
    parser.add_argument("--out", type=Path, metavar="FILE", help="config to write (default: NAME.yaml of FOLDER)")


def _init(arguments: argparse.Namespace) -> None:
    from semples import api

    start = api.init(folder=arguments.folder, config=arguments.out)
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
    parser.add_argument("--force", type=stage_name, metavar="STAGE", help="do this stage and those after it again")
    parser.add_argument("--quiet", action="store_true", help="no progress, only the result")


def _add_run_directory(parser: Parser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="run directory")


def _show_run(run: Path) -> None:
    """Print the scores of a run, where it has some, and where its report is."""
    if not is_first_launched():
        return
    from semples import tables

    evaluation = run / "evaluation.json"
    if evaluation.is_file():
        _print_table(tables.evaluation_table(read_json(evaluation)))
    report = run / "report.html"
    print(f"report: {report}" if report.is_file() else f"run directory: {run}")


def _print_table(table: Table) -> None:
    from rich.console import Console

    Console().print(table)


VERBS: dict[str, tuple[Callable[[argparse.Namespace], None], bool, Callable[[Parser], None], str]] = {
    "demo": (_demo, True, _demo_arguments, "the whole pipeline on built-in scenes, without any download"),
    "run": (_run, True, _run_arguments, "the whole pipeline on your data; goes on where it stopped"),
    "init": (_init, False, _init_arguments, "a first config for your own folder of images"),
    "predict": (_predict, False, _predict_arguments, "masks and overlays for new images"),
    "evaluate": (_evaluate, False, _evaluate_arguments, "scores of one folder of masks against another"),
    "prompts": (_prompts, False, _add_run_directory, "the learned background prompts in words"),
    "export": (_export, False, _export_arguments, "pseudo masks for other tools (COCO, VOC), the network as ONNX"),
    "report": (_report, False, _add_run_directory, "rebuild report.html of a run"),
    "compare": (_compare, True, _compare_arguments, "all methods on built-in scenes, over seeds"),
    "doctor": (_doctor, True, _doctor_arguments, "what a run would find on this machine, and what to do"),
}
