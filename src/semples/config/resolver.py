"""From settings as users give them to a config: every problem is found, and all are named at once."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from typing import Any, get_args, get_origin, get_type_hints

from semples.config.data import DataConfig
from semples.config.mask_generator import MaskGeneratorConfig
from semples.config.registry import (
    GENERATORS,
    READERS,
    REFINEMENTS,
    generator_config,
    reader_config,
    refinement_config,
)
from semples.config.renamed import PUBLISHED, RENAMED
from semples.config.schema import Config
from semples.config.values import convert, expected, parse, shown
from semples.errors import ConfigError, SettingWarning, did_you_mean


@dataclass(frozen=True)
class Given:
    """One setting as a user gave it; errors call it by its place (``my.yaml:3: data.bias``)."""

    key: str
    value: Any
    place: str
    is_text: bool = False


@dataclass(frozen=True)
class _Choice:
    """A section whose settings depend on one of them: the reader of ``data``, the name of ``mask_generator``."""

    selector: str
    default: str
    known: tuple[str, ...]
    class_of: Callable[[str], Any]


_CHOICES = {
    "data": _Choice("data.reader", DataConfig.reader, tuple(READERS), reader_config),
    "mask_generator": _Choice("mask_generator.name", MaskGeneratorConfig.name, tuple(GENERATORS), generator_config),
}


SECTION_NAMES = (*(name for name, hint in get_type_hints(Config).items() if is_dataclass(hint)), *REFINEMENTS)
"""Every section, refinements included."""


def setting_keys() -> list[str]:
    """Return every setting of every reader and generator by its dotted name, such as ``data.root`` or ``seed``."""
    keys = list(_settings(_section_classes({})))
    for section, choice in _CHOICES.items():
        for name in choice.known:
            keys += [f"{section}.{key}" for key in get_hints(choice.class_of(name))]
    return list(dict.fromkeys(keys))


class Resolver:
    """Collects settings and problems, then builds the config or reports all problems.

    Args:
        problems: Problems that were found before.
        is_recorded: The settings are those of a run directory, which an earlier version may have written: settings
            without effect are dropped without a word.
    """

    def __init__(self, problems: list[str], is_recorded: bool = False) -> None:
        self.problems, self.is_recorded = problems, is_recorded
        self.values: dict[str, Any] = {}
        self.places: dict[str, str] = {}
        self.broken: set[str] = set()

    def resolve(self, given: list[Given]) -> Config:
        """Build the config; of a setting that is given twice the later one wins.

        Raises:
            ConfigError: Settings are unknown, of the wrong type, or out of range.
        """
        current = self._without_old_names(given)
        self.classes = _section_classes(self._chosen_names(current))
        self.settings = _settings(self.classes)
        for setting in current:
            self._take(setting)
        refinements = {name: self._build(self.classes[name], name) for name in REFINEMENTS}
        sections = {name: self._build(kind, name) for name, kind in self.classes.items() if name not in REFINEMENTS}
        config: Config = self._build(Config, "", {**sections, "refinements": refinements})
        if self.problems:
            raise ConfigError("; ".join(self.problems))
        return config

    def _chosen_names(self, given: list[Given]) -> dict[str, str]:
        """Return the chosen reader and generator; an unknown one is a problem, and counts as the default."""
        names = {}
        for section, choice in _CHOICES.items():
            chosen = [setting for setting in given if setting.key == choice.selector]
            if not chosen or not isinstance(chosen[-1].value, str):
                continue
            try:
                choice.class_of(chosen[-1].value)
                names[section] = chosen[-1].value
            except ConfigError as error:
                self.problems.append(chosen[-1].place + str(error).removeprefix(choice.selector))
                self.broken.add(choice.selector)
        return names

    def _without_old_names(self, given: list[Given]) -> list[Given]:
        """Translate names of earlier versions."""
        current, old_choices = [], []
        for setting in given:
            if setting.key in RENAMED:
                new = RENAMED[setting.key]
                self._note(f"{setting.place} is now called {new.partition('.')[2]}; rename it")
                setting = replace(setting, key=new)
            if setting.key in PUBLISHED:
                old_choices.append(setting)
            else:
                current.append(setting)
        published = self._published(old_choices)
        is_given = any(setting.key == "published" for setting in current)
        return current if published is None or is_given else [Given("published", published, "published"), *current]

    def _published(self, old_choices: list[Given]) -> bool | None:
        """Turn the five old choices into the one switch that has replaced them; None where none was given."""
        values = {setting.key: setting for setting in old_choices}  # the last one wins
        votes = set()
        for key, setting in values.items():
            if setting.value not in PUBLISHED[key]:
                choices = ", ".join(f'"{value}"' for value in PUBLISHED[key])
                self.problems.append(f"{setting.place} is {shown(setting.value)}, expected one of {choices}")
                return None
            votes.add(setting.value == PUBLISHED[key][1])
        if len(votes) > 1:
            places = ", ".join(f"{each.place} ({each.value})" for each in values.values())
            self.problems.append(f"{places} contradict each other: they are one switch now, set published instead")
            return None
        if votes == {True}:
            self._note(f"{next(iter(values.values())).place} is now part of published: true, with four others")
        return votes.pop() if votes else None

    def _take(self, given: Given) -> None:
        """Check one setting and keep its value, or note the problem."""
        key, entry = self._split_entry(given.key)
        if key not in self.settings:
            self._take_foreign(given)
            return
        hint = get_args(self.settings[key])[1] if entry else self.settings[key]
        value = parse(given.value, hint) if given.is_text else given.value
        try:
            value = convert(value, hint)
        except (ValueError, OverflowError):
            self.problems.append(f"{given.place} is {shown(value)}, expected {expected(hint)}")
            self.broken.add(key)
            return
        self.values[key] = {**self._current(key), entry: value} if entry else value
        self.places[given.key] = given.place

    def _take_foreign(self, given: Given) -> None:
        """Drop a setting of another reader or generator; an unknown one is a problem."""
        section, _, name = given.key.partition(".")
        choice = _CHOICES.get(section)
        owners = [] if choice is None else [each for each in choice.known if name in get_hints(choice.class_of(each))]
        if choice is None or not owners:
            self.problems.append(self._unknown(given))
            return
        kind = choice.class_of(owners[0])
        hint, default = get_hints(kind)[name], _default(kind, name)
        value = parse(given.value, hint) if given.is_text else given.value
        try:
            value = convert(value, hint)
        except (ValueError, OverflowError):
            self.problems.append(f"{given.place} is {shown(value)}, expected {expected(hint)}")
            return
        if self.is_recorded or value == default:
            return
        chosen = getattr(self.classes[section], choice.selector.partition(".")[2])
        chosen = self.values.get(choice.selector, chosen)
        text = f"{given.place} is a setting of {' and '.join(owners)}, and {choice.selector} is {chosen}"
        if default is None:
            self.problems.append(f"{text}; remove it")
        else:
            self._note(f"{text}: it has no effect")

    def _current(self, key: str) -> dict[str, Any]:
        section, _, name = key.rpartition(".")
        current: dict[str, Any] = self.values.get(key, _default(self.classes[section], name))
        return current

    def _build(self, kind: Callable[..., Any], section: str, parts: Mapping[str, Any] | None = None) -> Any:
        """Create a dataclass; each time it refuses, note why and try again without the values that it names."""
        values = {key: value for key, value in self.values.items() if key.rpartition(".")[0] == section}
        if section in _CHOICES:
            selector = _CHOICES[section].selector
            values.setdefault(selector, _CHOICES[section].default)
        while True:
            try:
                return kind(**{key.rpartition(".")[2]: value for key, value in values.items()}, **(parts or {}))
            except ConfigError as error:
                message = str(error)
            named = {key for key in self.settings if re.search(rf"(?<![\w.]){re.escape(key)}(?!\w)", message)}
            if not named & self.broken:
                self.problems.append(self._located(message))
            if not named & values.keys():
                return _fallback(kind, section)
            self.broken |= named
            values = {key: value for key, value in values.items() if key not in named}

    def _located(self, message: str) -> str:
        """Put the place of a setting in front of a message that starts with its name."""
        key = message.split(" ", 1)[0].rstrip(":")
        if key in self.places:
            return self.places[key] + message.removeprefix(key)
        mapping = key.rpartition(".")[0]
        if mapping in self.places:  # an entry of a mapping that was given as a whole
            return self.places[mapping] + message.removeprefix(mapping)
        return message

    def _split_entry(self, key: str) -> tuple[str, str]:
        """Split ``data.pairs.boat`` into the mapping's name and the entry; other names have the entry ''."""
        parts = key.split(".", 2)
        mapping = ".".join(parts[:2])
        if len(parts) == 3 and parts[2] and get_origin(self.settings.get(mapping)) is dict:
            return mapping, parts[2]
        return key, ""

    def _unknown(self, given: Given) -> str:
        section, _, name = given.key.partition(".")
        if section not in self.classes:
            nearest = did_you_mean(given.key, [*self.settings, *self.classes])
            return f"{given.place} is not a setting{nearest or '; `semples run --print_config` lists all of them'}"
        names = list(get_hints(self.classes[section]))
        if not name:
            return f"{given.place} is a section, expected one of its settings: {', '.join(names)}"
        nearest = did_you_mean(name, names) or f"; it has {', '.join(names)}"
        return f'{given.place} is not a setting of section "{section}"{nearest}'

    def _note(self, text: str) -> None:
        if not self.is_recorded:
            warnings.warn(text, SettingWarning, stacklevel=2)


def get_hints(kind: Any) -> dict[str, Any]:
    """Return the name and type hint of each setting of a section."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _section_classes(names: Mapping[str, str]) -> dict[str, Any]:
    """Return the class of each section, for the chosen reader and generator."""
    classes = {}
    for name, hint in get_type_hints(Config).items():
        if name in _CHOICES:
            classes[name] = _CHOICES[name].class_of(names.get(name, _CHOICES[name].default))
        elif is_dataclass(hint):
            classes[name] = hint
    return classes | {name: refinement_config(name) for name in REFINEMENTS}


def _settings(classes: Mapping[str, Any]) -> dict[str, Any]:
    """Return every setting by its dotted name, and its type hint."""
    own = {name: hint for name, hint in get_hints(Config).items() if name not in (*classes, "refinements")}
    return own | dict(_dotted(classes))


def _dotted(classes: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for section, kind in classes.items():
        yield from ((f"{section}.{name}", hint) for name, hint in get_hints(kind).items())


def _default(kind: Any, name: str) -> Any:
    """Return the default of a setting."""
    field = next(each for each in fields(kind) if each.name == name)
    return field.default if field.default_factory is MISSING else field.default_factory()


def _fallback(kind: Callable[..., Any], section: str) -> Any:
    """Return a valid section in place of one that cannot be built, so that the search for problems goes on."""
    return _CHOICES[section].class_of(_CHOICES[section].default)() if section in _CHOICES else kind()
