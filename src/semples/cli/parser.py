"""Parsers of the command line and of option values, with one-line errors."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NoReturn

from semples.errors import ConfigError, DataError
from semples.files import read_json
from semples.rundir.labels import METHOD_LABELS

FORMATS = ("coco", "voc", "onnx")
"""Formats of ``semples export``."""

METHODS = tuple(METHOD_LABELS)
"""Methods of ``semples compare``, in the order of its table."""

ABLATIONS = ("losses", "prompt-length", "lambda-text", "lambda-suppress", "lambda-background")
"""Ablations of ``semples compare``."""

_SETTINGS_HELP = """settings:
  Any setting can be given as --section.key VALUE or --section.key=VALUE, for example
  --seed 1, --data.bias 0.8, --data.pairs.boat sand, --cams.scales '[1.0, 1.5]'.
  `semples run --print_config` lists all settings with their values."""
_MOST_CLASSES = 254


class Parser(argparse.ArgumentParser):
    """A parser that knows its long options and raises ConfigError instead of printing usage and exiting.

    Attributes:
        long_options: Options such as ``--out``, in the order they were added.
        do: Called with the parsed arguments.
        takes_settings: Whether unknown options are settings, passed on to :func:`semples.config.loading.load_config`.
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
        """Add an argument as argparse does, and record its long options."""
        self.long_options += [name for name in names if name.startswith("--")]
        return super().add_argument(*names, **options)

    def error(self, message: str) -> NoReturn:
        """Raise ConfigError with the message."""
        raise ConfigError(f"{message}; see `{self.prog} --help`")


def launched_processes() -> int:
    """Return the number of processes that torchrun started, including this one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first_launched() -> bool:
    """Whether this is the process that prints results."""
    return launched_processes() == 1 or os.environ.get("RANK") == "0"


def one_of(kind: str, known: Collection[str]) -> Callable[[str], str]:
    """Return a function that accepts one of the known names of a kind."""

    def name(text: str) -> str:
        if text not in known:
            raise argparse.ArgumentTypeError(f'there is no {kind} "{text}"; expected one of {", ".join(known)}')
        return text

    return name


def some_of(kind: str, known: Collection[str]) -> Callable[[str], list[str]]:
    """Return a function that accepts a comma-separated list of such names."""
    one = one_of(kind, known)

    def names(text: str) -> list[str]:
        return [one(name.strip()) for name in text.split(",")]

    return names


def count(text: str) -> int:
    """Parse a whole number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'"{text}" is not a whole number above 0')
    return int(text)


def class_names(text: str) -> tuple[str, ...]:
    """Return the names in a comma-separated list or in a file; a number means that many numbered names."""
    if text.isdecimal():
        names = [f"class {number}" for number in range(1, int(text) + 1)]
    elif "," not in text and (text.endswith(".txt") or Path(text).is_file()):
        names = read_lines(Path(text))
    else:
        names = [name.strip() for name in text.split(",")]
    if names and names[0] == "background":
        raise argparse.ArgumentTypeError(f'"{text}" starts with background; give the object classes only')
    if not all(names) or len(set(names)) != len(names):
        raise argparse.ArgumentTypeError(f'"{text}" has an empty or repeated name; give different names')
    if not 1 <= len(names) <= _MOST_CLASSES:
        raise argparse.ArgumentTypeError(f"found {len(names)} classes; expected 1 to {_MOST_CLASSES}")
    return tuple(names)


def read_lines(file: Path) -> list[str]:
    """Read the lines of a text file, without empty lines at its start and end."""
    try:
        return [line.strip() for line in file.read_text(encoding="utf-8").strip().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(f"{file}: cannot be read; expected a text file of names") from error


def read_pairings(text: str) -> list[dict[str, str]] | int:
    """Read a JSON list of pairings {object: context}; a number means that many random pairings."""
    if text.isdecimal() and int(text) > 0:
        return int(text)
    file = Path(text)
    try:
        pairings = read_json(file)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror}); give a JSON file of pairings") from error
    except DataError as error:
        raise ConfigError(f"{file}: not valid JSON ({error.__cause__}); correct it") from error
    if not (isinstance(pairings, list) and pairings and all(map(_is_pairing, pairings))):
        raise ConfigError(f'{file}: not a list of pairings; expected [{{"boat": "water", ...}}, ...]')
    return pairings


def _is_pairing(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(isinstance(item, str) for item in value.values())
