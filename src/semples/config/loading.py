"""Loading, overriding and saving of settings: every problem is found and named at once, on one line.

The dataclasses of :mod:`semples.config` are the only list of settings; what they accept is read from their
type hints. No torch here, so that the command line answers at once.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from semples.config import Config
from semples.errors import ConfigError, did_you_mean
from semples.files import write_text

ENVIRONMENT = "environment"
"""Key of a saved file under which versions, commit and device stand; loading passes over it."""

_HINTS: dict[str, Any] = get_type_hints(Config)
_SECTIONS: dict[str, Any] = {name: hint for name, hint in _HINTS.items() if is_dataclass(hint)}
_SETTINGS: dict[str, Any] = {name: hint for name, hint in _HINTS.items() if name not in _SECTIONS} | {
    f"{section}.{name}": hint for section, kind in _SECTIONS.items() for name, hint in get_type_hints(kind).items()
}
_EXPECTED = {str: "text in quotes", int: "a whole number", float: "a number", bool: "true or false"}

DEMO: Mapping[str, Any] = {
    "data.train_size": 200,
    "data.val_size": 60,
    "match.epochs": 5,
    "refine.epochs": 5,
    "segment.epochs": 15,
    "segment.batch_size": 16,
    "segment.image_size": 96,
    "segment.scales": [1.0],
    "segment.supervised_bound": False,
}
"""How ``semples demo`` differs from the defaults: half of the scenes, shorter trainings, a small network that looks
once, no bound."""

SETTING_KEYS = tuple(_SETTINGS)
"""Every setting by its dotted name, such as ``data.root`` or ``seed``."""


@dataclass(frozen=True)
class _Given:
    """One setting as a user gave it; errors call it by its place (``my.yaml:3: data.bias``)."""

    key: str
    value: Any
    place: str
    is_text: bool = False


def load_config(file: Path | None = None, overrides: Mapping[str, Any] | Sequence[str] = ()) -> Config:
    """Return the defaults, changed by a YAML file and then by overrides.

    Args:
        file: Settings in YAML, in sections as :class:`semples.config.Config` has them.
        overrides: Values by dotted name (``{"data.bias": 0.8}``) or by section (``{"data": {"bias": 0.8}}``),
            or words as on a command line (``["--data.bias", "0.8", "--seed=1", "data.pairs.boat=sand"]``).
            A later one wins. An entry (``data.pairs.boat``) changes the mapping so far, a whole mapping
            replaces it.

    Raises:
        ConfigError: The file is missing or is not YAML; or a setting is unknown, has the wrong type or is out
            of range. All such problems are named in one line, with the line of the file or the word given.
    """
    resolver = _Resolver()
    given = [] if file is None else _read_file(file, resolver.problems)
    if isinstance(overrides, Mapping):
        given += _flatten(overrides, lambda key: key, resolver.problems)
    else:
        given += _read_words(overrides, resolver.problems)
    for setting in given:
        resolver.take(setting)
    return resolver.config()


def load_demo_config(words: Sequence[str] = ()) -> Config:
    """Return the settings of ``semples demo``: the defaults made small, changed by words as on a command line.

    Raises:
        ConfigError: As of :func:`load_config`.
    """
    return load_config(overrides=[*(f"--{name}={json.dumps(value)}" for name, value in DEMO.items()), *words])


def config_to_dict(config: Config) -> dict[str, Any]:
    """Return plain dicts, lists, texts and numbers, in the order of the dataclasses."""
    return asdict(config)


def config_to_yaml(config: Config) -> str:
    """Return YAML that :func:`load_config` reads back to an equal config."""
    return yaml.safe_dump(config_to_dict(config), sort_keys=False, allow_unicode=True)


def save_config(config: Config, path: Path, extra: Mapping[str, Any]) -> None:
    """Write a file that :func:`load_config` reads, with ``extra`` under :data:`ENVIRONMENT`."""
    environment = yaml.safe_dump({ENVIRONMENT: dict(extra)}, sort_keys=False, allow_unicode=True)
    write_text(path, config_to_yaml(config) + environment)


class _Resolver:
    """Collects settings and problems, then builds the config or reports all problems."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.places: dict[str, str] = {}
        self.broken: set[str] = set()
        self.problems: list[str] = []

    def take(self, given: _Given) -> None:
        """Check one setting and keep its value, or note the problem."""
        key, entry = _split_entry(given.key)
        if key not in _SETTINGS:
            self.problems.append(_unknown(given))
            return
        hint = get_args(_SETTINGS[key])[1] if entry else _SETTINGS[key]
        value = _parse(given.value, hint) if given.is_text else given.value
        try:
            value = _convert(value, hint)
        except (ValueError, OverflowError):
            self.problems.append(f"{given.place} is {_shown(value)}, expected {_expected(hint)}")
            self.broken.add(key)
            return
        self.values[key] = {**self._current(key), entry: value} if entry else value
        self.places[key] = given.place

    def config(self) -> Config:
        """Build the config.

        Raises:
            ConfigError: There were problems, or values are out of range.
        """
        sections = {name: self._build(kind, name) for name, kind in _SECTIONS.items()}
        config: Config = self._build(Config, "", sections)
        if self.problems:
            raise ConfigError("; ".join(self.problems))
        return config

    def _current(self, key: str) -> dict[str, Any]:
        section, _, name = key.rpartition(".")
        current: dict[str, Any] = self.values.get(key, getattr(_SECTIONS[section](), name))
        return current

    def _build(self, kind: Callable[..., Any], section: str, parts: Mapping[str, Any] | None = None) -> Any:
        """Create a dataclass; each time it refuses, note why and go on without the values that it names."""
        values = {key: value for key, value in self.values.items() if key.rpartition(".")[0] == section}
        while True:
            try:
                return kind(**{key.rpartition(".")[2]: value for key, value in values.items()}, **(parts or {}))
            except ConfigError as error:
                message = str(error)
            named = {key for key in _SETTINGS if re.search(rf"(?<![\w.]){re.escape(key)}(?!\w)", message)}
            if not named & self.broken:
                self.problems.append(self._located(message))
            if not named & values.keys():
                return kind()
            self.broken |= named
            values = {key: value for key, value in values.items() if key not in named}

    def _located(self, message: str) -> str:
        key = message.split(" ", 1)[0]
        return self.places.get(key, key) + message.removeprefix(key)


def _read_file(file: Path, problems: list[str]) -> list[_Given]:
    try:
        text = file.read_text(encoding="utf-8")
        values = yaml.safe_load(text)
        root = yaml.compose(text, yaml.SafeLoader)
    except OSError as error:
        raise ConfigError(f"{file} cannot be read ({error.strerror}): give a YAML file of settings") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(_yaml_problem(file, error)) from error
    if values is None:
        return []
    if not isinstance(values, dict):
        raise ConfigError(f'{file} is not a mapping, expected settings such as "seed: 0"')
    lines: dict[str, int] = {}
    for key, line in _lines(root, ""):
        if key in lines:
            problems.append(f"{file}:{line}: {key} is given twice, first in line {lines[key]}; keep one of them")
        lines[key] = line
    values.pop(ENVIRONMENT, None)
    return _flatten(values, lambda key: f"{file}:{lines[key]}: {key}" if key in lines else f"{file}: {key}", problems)


def _yaml_problem(file: Path, error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f"{file}:{error.problem_mark.line + 1}: not valid YAML: {error.problem}; correct that line"
    if isinstance(error, RecursionError):
        return f"{file}: not valid YAML: nested too deep, expected sections with settings in them"
    return f"{file}: not valid YAML: {' '.join(str(error).split())}; correct it, or save it as UTF-8"


def _lines(node: yaml.Node | None, prefix: str) -> Iterator[tuple[str, int]]:
    """Yield the dotted name and the line, counted from 1, of every section, setting and entry."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield f"{prefix}{key.value}", key.start_mark.line + 1
            if prefix.count(".") < 2:  # no deeper than data.pairs.boat: a node may contain itself
                yield from _lines(value, f"{prefix}{key.value}.")


def _flatten(values: Mapping[str, Any], place: Callable[[str], str], problems: list[str]) -> list[_Given]:
    """Turn sections into dotted names; an empty section sets nothing."""
    given = []
    for key, value in ((str(key), value) for key, value in values.items()):
        if key not in _SECTIONS:
            given.append(_Given(key, value, place(key)))
        elif isinstance(value, Mapping):
            given += [_Given(f"{key}.{name}", part, place(f"{key}.{name}")) for name, part in value.items()]
        elif value is not None:
            problems.append(f"{place(key)} is {_shown(value)}, expected a section with settings in it")
    return given


def _read_words(words: Sequence[str], problems: list[str]) -> list[_Given]:
    given = []
    waiting = list(words)
    while waiting:
        word, equals, text = waiting.pop(0).partition("=")
        if not word.startswith("--") and not (word and equals):
            problems.append(f'unexpected argument "{word}{equals}{text}", expected --section.key VALUE')
            continue
        if not equals:
            if not waiting or waiting[0].startswith("--"):
                problems.append(f"{word} has no value, expected {word} VALUE")
                continue
            text = waiting.pop(0)
        given.append(_Given(word.removeprefix("--"), text, word, is_text=True))
    return given


def _split_entry(key: str) -> tuple[str, str]:
    """Split ``data.pairs.boat`` into the mapping's name and the entry; other names have the entry ''."""
    parts = key.split(".", 2)
    mapping = ".".join(parts[:2])
    if len(parts) == 3 and parts[2] and get_origin(_SETTINGS.get(mapping)) is dict:
        return mapping, parts[2]
    return key, ""


def _unknown(given: _Given) -> str:
    section, _, name = given.key.partition(".")
    if section not in _SECTIONS:
        nearest = did_you_mean(given.key, [*SETTING_KEYS, *_SECTIONS])
        return f"{given.place} is not a setting{nearest or '; expected one of those that run --print_config lists'}"
    names = list(get_type_hints(_SECTIONS[section]))
    if not name:
        return f"{given.place} is a section, expected one of its settings: {', '.join(names)}"
    nearest = did_you_mean(name, names) or f"; expected one of {', '.join(names)}"
    return f'{given.place} is not a setting of section "{section}"{nearest}'


def _parse(text: str, hint: Any) -> Any:
    """Read a word of the command line: text stays as it is, everything else is YAML (and so JSON)."""
    choices = _choices(hint)
    if text == "null" and NoneType in choices:
        return None
    if str in choices or get_origin(hint) is Literal:
        return text
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return text


def _convert(value: Any, hint: Any) -> Any:
    """Return the value as the type hint wants it.

    Raises:
        ValueError: It does not fit.
        OverflowError: It is a whole number too large for the float that is wanted.
    """
    if value is None and NoneType in _choices(hint):
        return None
    hint = _choices(hint)[0]
    if get_origin(hint) is list and isinstance(value, list | tuple):
        return [_convert(item, get_args(hint)[0]) for item in value]
    if get_origin(hint) is dict and isinstance(value, Mapping):
        key_hint, value_hint = get_args(hint)
        return {_convert(key, key_hint): _convert(item, value_hint) for key, item in value.items()}
    if get_origin(hint) is Literal and value in get_args(hint):
        return value
    if hint is float and not isinstance(value, bool):
        return _finite(value)
    if hint is str and isinstance(value, Path):
        return str(value)
    if type(value) is hint:
        return value
    raise ValueError


def _finite(value: Any) -> float:
    # YAML reads 1e-3, without a point, as text.
    if not isinstance(value, int | float | str) or not math.isfinite(float(value)):
        raise ValueError
    return float(value)


def _choices(hint: Any) -> tuple[Any, ...]:
    """Types of ``X | None`` (X comes first in our dataclasses), or the one type."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _expected(hint: Any) -> str:
    first, *rest = _choices(hint)
    suffix = ", or null" if NoneType in rest else ""
    if get_origin(first) is Literal:
        return "one of " + ", ".join(f'"{choice}"' for choice in get_args(first)) + suffix
    if get_origin(first) is list:
        return f"a list, each item {_expected(get_args(first)[0])}{suffix}"
    if get_origin(first) is dict:
        return f"a mapping, each key and value {_expected(get_args(first)[1])}{suffix}"
    return _EXPECTED[first] + suffix


def _shown(value: Any) -> str:
    """One line for a value as a YAML file would have it, where it is a plain one."""
    if value is None or isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False)
    return repr(value)
