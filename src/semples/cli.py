"""The command line: words in, one call of :mod:`semples.api`, tables and paths out.

Whatever is heavy is imported inside the verbs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from semples import __version__
from semples.errors import ConfigError, DataError, SemplesError, did_you_mean
from semples.files import read_json
from semples.settings import SETTING_KEYS, config_to_yaml, load_config

if TYPE_CHECKING:
    from rich.table import Table

STAGES = ("classify", "match", "prompts", "refine", "pseudo-masks", "segment", "evaluate", "report")
"""Stages of a run by name, in order."""

FORMATS = ("coco", "voc", "onnx")
"""Formats of ``semples export``."""

_DESCRIPTION = "From photographs with image-level tags to pixel masks and a trained segmentation model."
_SETTINGS_HELP = """settings:
  Every setting can be given as --section.key VALUE or --section.key=VALUE, for example
  --seed 1, --data.bias 0.8, --data.pairs.boat sand, --cams.scales '[1.0, 1.5]'.
  `semples run --print_config` lists all of them with their values."""
_MOST_CLASSES = 254


class Parser(argparse.ArgumentParser):
    """A parser that knows its long options and raises ConfigError where argparse prints usage and exits.

    Attributes:
        long_options: Options such as ``--out``, in the order in which they were added.
        do: Called with the parsed arguments.
        takes_settings: Whether unknown options are settings, left for :func:`semples.settings.load_config`.
    """

    def __init__(
        self,
        do: Callable[[argparse.Namespace], None] | None = None,
        takes_settings: bool = False,
        **options: Any,
    ) -> None:
        self.long_options: list[str] = []
        self.do = do or (lambda _: self.print_help())
        self.takes_settings = takes_settings
        super().__init__(
            **options,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            epilog=_SETTINGS_HELP if takes_settings else None,
        )
        self.add_argument("--debug", action="store_true", help="show the traceback of an error")

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        """Add an argument as argparse does, and note its long options."""
        self.long_options += [name for name in names if name.startswith("--")]
        return super().add_argument(*names, **options)

    def error(self, message: str) -> NoReturn:
        """Raise ConfigError with the message."""
        raise ConfigError(f"{message} (see `{self.prog} --help`)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; a problem is told in one line on stderr.

    Args:
        argv: Words after the program's name; those of the process if None.

    Returns:
        The exit status: 0 done, 2 wrong usage or bad input, 1 a failure, 130 interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        _run_verb(words)
    except SystemExit as finished:  # how argparse ends --help and --version
        return int(finished.code or 0)
    except (Exception, KeyboardInterrupt) as error:
        if "--debug" in words:
            traceback.print_exc()
        line, status = _explain(error)
        print(line, file=sys.stderr)
        return status
    return 0


def _explain(error: BaseException) -> tuple[str, int]:
    """Return one line for people, and the exit status."""
    text = " ".join(_without_worker(str(error)).split())
    if isinstance(error, KeyboardInterrupt):
        return "semples: stopped; the same command continues", 130
    if isinstance(error, SemplesError):
        return f"semples: error: {text}", error.exit_status
    if isinstance(error, OSError) and error.filename:
        return f"semples: error: {error.filename}: {error.strerror}; mend that, the same command continues", 1
    return (
        f"semples: error: {type(error).__name__}: {text} (run again with --debug for the traceback)",
        1,
    )


def _without_worker(text: str) -> str:
    """Take the last line of the traceback that a data-loading process puts around the text of an error."""
    if not (text.startswith("Caught ") and "Original Traceback" in text):
        return text
    return text.strip().splitlines()[-1].partition(": ")[2]


def _run_verb(words: list[str]) -> None:
    main_parser, verbs = _parsers()
    name = next((word for word in words if not word.startswith("-")), None)
    if name is not None and name not in verbs:
        nearest = did_you_mean(name, verbs)
        raise ConfigError(f'there is no verb "{name}", expected one of {", ".join(verbs)}.{nearest}')
    parser = main_parser if name is None else verbs[name]
    start = len(words) if name is None else words.index(name)
    _check_options(words[:start], main_parser)
    _check_options(words[start:], parser)
    arguments, rest = main_parser.parse_known_args(words)
    if rest and not parser.takes_settings:
        raise ConfigError(f'unexpected argument "{rest[0]}" (see `{parser.prog} --help`)')
    arguments.settings = rest
    parser.do(arguments)


def _check_options(words: Sequence[str], parser: Parser) -> None:
    """Raise ConfigError for unknown options; what looks like a section's setting is left to the settings."""
    known = [option.removeprefix("--") for option in parser.long_options]
    known += SETTING_KEYS if parser.takes_settings else ()
    given = takewhile(lambda word: word != "--", words)
    options = [word.removeprefix("--").partition("=")[0] for word in given if word.startswith("--")]
    unknown = [option for option in options if option not in known and not (parser.takes_settings and "." in option)]
    if unknown:
        problems = [f"there is no option --{option}.{did_you_mean(option, known)}" for option in unknown]
        raise ConfigError("; ".join(problems))


def _parsers() -> tuple[Parser, dict[str, Parser]]:
    """Return the main parser and those of the verbs."""
    main_parser = Parser(prog="semples", description=_DESCRIPTION)
    main_parser.add_argument("--version", action="version", version=f"semples {__version__}")
    group = main_parser.add_subparsers(metavar="VERB", title="verbs")
    verbs: dict[str, Parser] = {}
    for name, (do, takes_settings, add_arguments, summary) in _VERBS.items():
        verbs[name] = group.add_parser(name, do=do, takes_settings=takes_settings, help=summary, description=summary)
        add_arguments(verbs[name])
    return main_parser, verbs


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
    parser.add_argument("--until", type=_stage, metavar="STAGE", help="stop after this stage")
    _add_run_options(parser)
    parser.add_argument("--print_config", action="store_true", help="print the settings, defaults included, and stop")


def _run(arguments: argparse.Namespace) -> None:
    config = load_config(arguments.config, arguments.settings)
    if arguments.print_config:
        print(config_to_yaml(config), end="")
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
        type=_class_names,
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
        type=_format,
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
    parser.add_argument("--seeds", type=_count, default=3, metavar="N", help="number of seeds (default: 3)")
    _add_out(parser, "folder for the runs", Path("runs/compare"))
    parser.add_argument(
        "--pairings", type=Path, metavar="FILE", help="JSON list of objects class -> context, one run each"
    )


def _compare(arguments: argparse.Namespace) -> None:
    config = load_config(overrides=arguments.settings)
    pairings = None if arguments.pairings is None else _read_pairings(arguments.pairings)
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
    parser.add_argument("--force", type=_stage, metavar="STAGE", help="do this stage and those after it again")
    parser.add_argument("--quiet", action="store_true", help="no progress, only the result")


def _add_run_directory(parser: Parser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="run directory")


def _stage(text: str) -> str:
    if text not in STAGES:
        raise argparse.ArgumentTypeError(f'there is no stage "{text}", expected one of {", ".join(STAGES)}')
    return text


def _format(text: str) -> str:
    if text not in FORMATS:
        raise argparse.ArgumentTypeError(f'there is no format "{text}", expected one of {", ".join(FORMATS)}')
    return text


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'"{text}" came, expected a whole number above 0')
    return int(text)


def _class_names(text: str) -> tuple[str, ...]:
    """Return the names in a comma-separated list or in a file; a number stands for that many names."""
    if text.isdecimal():
        names = [f"class {number}" for number in range(1, int(text) + 1)]
    elif "," not in text and (text.endswith(".txt") or Path(text).is_file()):
        names = _read_lines(Path(text))
    else:
        names = [name.strip() for name in text.split(",")]
    if names and names[0] == "background":
        raise argparse.ArgumentTypeError("background came first, expected the object classes alone")
    if not all(names) or len(set(names)) != len(names):
        raise argparse.ArgumentTypeError(f'"{text}" has an empty or repeated name, expected different names')
    if not 1 <= len(names) <= _MOST_CLASSES:
        raise argparse.ArgumentTypeError(f"{len(names)} classes came, expected 1 to {_MOST_CLASSES}")
    return tuple(names)


def _read_lines(file: Path) -> list[str]:
    try:
        return [line.strip() for line in file.read_text(encoding="utf-8").strip().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(f"{file} cannot be read, expected a text file of names") from error


def _read_pairings(file: Path) -> list[dict[str, str]]:
    try:
        pairings = read_json(file)
    except OSError as error:
        raise ConfigError(f"{file} cannot be read ({error.strerror}): give a JSON file of pairings") from error
    except DataError as error:
        raise ConfigError(f"{file} is not valid JSON: {error.__cause__}") from error
    if not (isinstance(pairings, list) and pairings and all(map(_is_pairing, pairings))):
        raise ConfigError(f'{file} is not a list of pairings, expected [{{"boat": "water", ...}}, ...]')
    return pairings


def _is_pairing(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(isinstance(item, str) for item in value.values())


def _show_run(run: Path) -> None:
    """Print the scores of a run, where it has some, and where its report is."""
    from semples import tables

    evaluation = run / "evaluation.json"
    if evaluation.is_file():
        _print_table(tables.evaluation_table(read_json(evaluation)))
    report = run / "report.html"
    print(f"report: {report}" if report.is_file() else f"run directory: {run}")


def _print_table(table: Table) -> None:
    from rich.console import Console

    Console().print(table)


_VERBS: dict[str, tuple[Callable[[argparse.Namespace], None], bool, Callable[[Parser], None], str]] = {
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
