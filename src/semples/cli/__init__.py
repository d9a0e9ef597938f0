"""The command line: parses words, calls one function of the package, and prints tables and paths.

Heavy modules are imported inside the verbs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from typing import Any

from semples import __version__
from semples.cli.allocator import keep_freed_memory
from semples.cli.parser import Parser, is_first_launched, launched_processes
from semples.cli.verbs import VERBS
from semples.config.resolver import setting_keys
from semples.errors import ConfigError, SemplesError, SettingWarning, did_you_mean

__all__ = ["main"]

_DESCRIPTION = "From photographs with image-level tags to pixel masks and a trained segmentation model."


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; problems are reported in one line on standard error.

    Args:
        argv: Words after the program's name; the process's own if None.

    Returns:
        The exit status: 0 for success, 2 for wrong usage or bad input, 1 for a failure, 130 if interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    keep_freed_memory()
    try:
        with _noted_settings():
            _run_verb(words)
    except SystemExit as finished:  # how argparse ends --help and --version
        return int(finished.code or 0)
    except (Exception, KeyboardInterrupt) as error:
        return _fail(error, "--debug" in words)
    return 0


@contextmanager
def _noted_settings() -> Iterator[None]:
    """Show warnings about settings as one line each, in the first of several processes."""
    default = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *more: Any, **named: Any) -> None:
        if not issubclass(category, SettingWarning):
            default(message, category, *more, **named)
        elif is_first_launched():
            print(f"semples: note: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always", SettingWarning)
        warnings.showwarning = show
        yield


def _fail(error: BaseException, debug: bool) -> int:
    """Print an error, among several processes only in the first that failed, and return the exit status."""
    line, status = _explain(error)
    is_mine, are_several = True, launched_processes() > 1
    if are_several:
        from semples.parallel.processes import exit_if_distributed, first_failure

        is_mine, status = first_failure(status)
    if is_mine:
        if debug:
            traceback.print_exception(error)
        print(line, file=sys.stderr)
    if are_several:
        exit_if_distributed(status)
    return status


def _explain(error: BaseException) -> tuple[str, int]:
    """Return a one-line message for people, and the exit status."""
    text = " ".join(_without_worker(str(error)).split())
    if isinstance(error, KeyboardInterrupt):
        return "semples: stopped; run the same command again to resume", 130
    if isinstance(error, SemplesError):
        return f"semples: error: {text}", error.exit_status
    if isinstance(error, OSError) and error.filename:
        return f"semples: error: {error.filename}: {error.strerror}; fix the cause, then run the same command again", 1
    return (
        f"semples: error: {type(error).__name__}: {text}; run again with --debug for the traceback",
        1,
    )


def _without_worker(text: str) -> str:
    """Return the error's own text without the traceback that a data-loading process wraps around it."""
    if not (text.startswith("Caught ") and "Original Traceback" in text):
        return text
    return text.strip().splitlines()[-1].partition(": ")[2]


def _run_verb(words: list[str]) -> None:
    main_parser, verbs = _parsers()
    name = next((word for word in words if not word.startswith("-")), None)
    if name is not None and name not in verbs:
        nearest = did_you_mean(name, verbs)
        raise ConfigError(f'verb: "{name}" does not exist; expected one of {", ".join(verbs)}{nearest}')
    if name not in (None, "run", "demo") and launched_processes() > 1:
        raise ConfigError(f"semples {name}: works in one process only; start it without torchrun")
    parser = main_parser if name is None else verbs[name]
    start = len(words) if name is None else words.index(name)
    _check_options(words[:start], main_parser)
    _check_options(words[start:], parser)
    arguments, rest = main_parser.parse_known_args(words)
    if rest and not parser.takes_settings:
        raise ConfigError(f'"{rest[0]}" is an unexpected argument; see `{parser.prog} --help`')
    arguments.settings = rest
    arguments.words = words
    parser.do(arguments)


def _check_options(words: Sequence[str], parser: Parser) -> None:
    """Raise ConfigError for unknown options; options that look like settings are left to the settings' own checks."""
    known = [option.removeprefix("--") for option in parser.long_options]
    given = takewhile(lambda word: word != "--", words)
    options = [word.removeprefix("--").partition("=")[0] for word in given if word.startswith("--")]
    if parser.takes_settings and not set(options) <= set(known):
        known += setting_keys()
    unknown = [option for option in options if option not in known and not (parser.takes_settings and "." in option)]
    if unknown:
        problems = [f"--{option} is not an option{did_you_mean(option, known)}" for option in unknown]
        raise ConfigError("; ".join([*problems, f"see `{parser.prog} --help`"]))


def _parsers() -> tuple[Parser, dict[str, Parser]]:
    """Return the main parser, and the parser of each verb by name."""
    main_parser = Parser(prog="semples", description=_DESCRIPTION)
    main_parser.add_argument("--version", action="version", version=f"semples {__version__}")
    group = main_parser.add_subparsers(metavar="VERB", title="verbs")
    verbs: dict[str, Parser] = {}
    for name, (do, takes_settings, add_arguments, summary) in VERBS.items():
        verbs[name] = group.add_parser(name, do=do, takes_settings=takes_settings, help=summary, description=summary)
        add_arguments(verbs[name])
    return main_parser, verbs
