"""Building a config from settings as users give them; one error names all of their problems."""

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
    """One setting as a user gave it.

    Attributes:
        key: Dotted name.
        value: Value; if ``is_text``, a string still to be parsed.
        place: Name of the setting in errors (``my.yaml:3: data.bias``, ``--data.bias``).
        is_text: Whether the value is a word of a command line.
    """

    key: str
    value: Any
    place: str
    is_text: bool = False


@dataclass(frozen=True)
class _Choice:
    """A section whose settings depend on one of them: ``data.reader``, ``mask_generator.name``.

    Attributes:
        selector: Dotted name of the deciding setting.
        default: Default of the selector.
        known: Built-in values of the selector.
        class_of: Returns the class of the section for a value of the selector.
    """

    selector: str
    default: str
    known: tuple[str, ...]
    class_of: Callable[[str], Any]


_CHOICES = {
    "data": _Choice("data.reader", DataConfig.reader, tuple(READERS), reader_config),
    "mask_generator": _Choice("mask_generator.name", MaskGeneratorConfig.name, tuple(GENERATORS), generator_config),
}


SECTION_NAMES = (*(name for name, hint in get_type_hints(Config).items() if is_dataclass(hint)), *REFINEMENTS)
"""All sections, including those of refinements."""


def setting_keys() -> list[str]:
    """Return the dotted names of all settings of all readers and generators, such as ``data.root`` or ``seed``."""
    keys = list(_settings(_section_classes({})))
    for section, choice in _CHOICES.items():
        for name in choice.known:
            keys += [f"{section}.{key}" for key in get_hints(choice.class_of(name))]
    return list(dict.fromkeys(keys))


class Resolver:
    """Collects settings and problems, then builds the config or reports all problems.

    Args:
        problems: Problems that have been found already.
        is_recorded: The settings come from a run directory, which an earlier version may have written: settings
            without effect are dropped without a warning.
    """

    def __init__(self, problems: list[str], is_recorded: bool = False) -> None:
        self.problems, self.is_recorded = problems, is_recorded
        self.values: dict[str, Any] = {}  # dotted name -> accepted value
        self.places: dict[str, str] = {}  # dotted name, or entry of a mapping -> place for errors
        self.broken: set[str] = set()  # settings with a reported problem: further ones may only follow from it

    def resolve(self, given: list[Given]) -> Config:
        """Build the config; the later one of two equal settings wins.

        Raises:
            ConfigError: Settings are unknown, of the wrong type, or out of range.
        """
        current = self._without_old_names(given)
        # Reader and generator come first, because they decide which settings their sections have.
        self.chosen = self._chosen_names(current)
        self.classes = _section_classes(self.chosen)
        self.settings = _settings(self.classes)
        for setting in current:
            self._take(setting)
        # From here on every section is built even where problems were found, so that one error can name all of them.
        refinements = {name: self._build(self.classes[name], name) for name in REFINEMENTS}
        sections = {name: self._build(kind, name) for name, kind in self.classes.items() if name not in REFINEMENTS}
        config: Config = self._build(Config, "", {**sections, "refinements": refinements})
        if self.problems:
            raise ConfigError("; ".join(self.problems))
        return config

    def _chosen_names(self, given: list[Given]) -> dict[str, str]:
        """Return the chosen reader and generator by section; an unknown one is a problem, and counts as the default."""
        names = {}
        for section, choice in _CHOICES.items():
            selectors = [setting for setting in given if setting.key == choice.selector]
            if not selectors or not isinstance(selectors[-1].value, str):
                continue
            last = selectors[-1]
            try:
                choice.class_of(last.value)
                names[section] = last.value
            except ConfigError as error:
                self.problems.append(last.place + str(error).removeprefix(choice.selector))
                self.broken.add(choice.selector)
        return names

    def _without_old_names(self, given: list[Given]) -> list[Given]:
        """Replace names of earlier versions with current ones."""
        current, former_choices = [], []
        for setting in given:
            if setting.key in RENAMED:
                new = RENAMED[setting.key]
                self._note(f"{setting.place} is now called {new.partition('.')[2]}; rename it")
                setting = replace(setting, key=new)
            if setting.key in PUBLISHED:
                former_choices.append(setting)
            else:
                current.append(setting)
        published = self._published(former_choices)
        is_given = any(setting.key == "published" for setting in current)
        return current if published is None or is_given else [Given("published", published, "published"), *current]

    def _published(self, former_choices: list[Given]) -> bool | None:
        """Merge the five former choices into the switch that replaced them; None where none was given."""
        values = {setting.key: setting for setting in former_choices}  # the last one wins
        is_published = set()  # one value if all choices agree
        for key, setting in values.items():
            if setting.value not in PUBLISHED[key]:
                choices = ", ".join(f'"{value}"' for value in PUBLISHED[key])
                self.problems.append(
                    f"{setting.place}: {shown(setting.value)} does not exist; expected one of {choices}"
                )
                return None
            is_published.add(setting.value == PUBLISHED[key][1])
        if len(is_published) > 1:
            places = ", ".join(f"{each.place} ({each.value})" for each in values.values())
            self.problems.append(f"{places} contradict each other; they are one switch now, set published instead")
            return None
        if is_published == {True}:
            self._note(f"{next(iter(values.values())).place} is now part of published: true, with four others")
        return is_published.pop() if is_published else None

    def _take(self, given: Given) -> None:
        """Check one setting, and keep its value or the problem."""
        key, entry = self._split_entry(given.key)
        if key not in self.settings:
            self._take_foreign(given)
            return
        hint = get_args(self.settings[key])[1] if entry else self.settings[key]
        value = parse(given.value, hint) if given.is_text else given.value
        try:
            value = convert(value, hint)
        except (ValueError, OverflowError):
            self.problems.append(f"{given.place}: {shown(value)} is not valid; expected {expected(hint)}")
            self.broken.add(key)
            return
        self.values[key] = {**self._current(key), entry: value} if entry else value
        self.places[given.key] = given.place

    def _take_foreign(self, given: Given) -> None:
        """Drop a setting of a reader or generator that is not the chosen one; an unknown setting is a problem.

        The value of the dropped setting is checked all the same. A setting whose default is null, such as a path, is a
        problem too; other settings give a warning, unless they have their default.
        """
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
            self.problems.append(f"{given.place}: {shown(value)} is not valid; expected {expected(hint)}")
            return
        problem = _problem_of(kind, {choice.selector.rpartition(".")[2]: owners[0], name: value}, given.key)
        if problem:
            self.problems.append(given.place + problem.removeprefix(given.key))
            return
        if self.is_recorded or value == default:
            return
        chosen = self.chosen.get(section, choice.default)
        text = f"{given.place} is a setting of {' and '.join(owners)}, but {choice.selector} is {chosen}"
        if default is None:
            self.problems.append(f"{text}; remove it")
        else:
            self._note(f"{text}; it has no effect")

    def _current(self, key: str) -> dict[str, Any]:
        """Return the value so far of a setting that is a mapping."""
        section, _, name = key.rpartition(".")
        current: dict[str, Any] = self.values.get(key, _default(self.classes[section], name))
        return current

    def _build(self, kind: Callable[..., Any], section: str, parts: Mapping[str, Any] | None = None) -> Any:
        """Create a dataclass; whenever it raises, keep the problem and try again without the values that it names.

        A dataclass raises its first problem only. Leaving out the values named in it lets the next attempt reach the
        next problem; every attempt leaves out at least one value, so that the loop ends.

        Args:
            kind: The class of the section, or :class:`Config`.
            section: Name of the section; "" for :class:`Config`.
            parts: Further arguments: the sections of :class:`Config`.
        """
        values = {key: value for key, value in self.values.items() if key.rpartition(".")[0] == section}
        if section in _CHOICES:
            selector = _CHOICES[section].selector
            values.setdefault(selector, _CHOICES[section].default)
        while True:
            try:
                return kind(**{key.rpartition(".")[2]: value for key, value in values.items()}, **(parts or {}))
            except ConfigError as error:
                message = str(error)
            # Settings named in the message, as whole words: not "data.size" in "data.size_of" or "my.data.size".
            named = {key for key in self.settings if re.search(rf"(?<![\w.]){re.escape(key)}(?!\w)", message)}
            if not named & self.broken:  # otherwise it may follow from a problem that is already known
                self.problems.append(self._located(message))
            if not named & values.keys():  # nothing to leave out: the problem is in other sections or in a default
                return _fallback(kind, section)
            self.broken |= named
            values = {key: value for key, value in values.items() if key not in named}

    def _located(self, message: str) -> str:
        """Replace the setting's name at the start of a message with its place."""
        key = message.split(" ", 1)[0].rstrip(":")
        if key in self.places:
            return self.places[key] + message.removeprefix(key)
        mapping = key.rpartition(".")[0]
        if mapping in self.places:  # an entry of a mapping that was given as a whole
            return self.places[mapping] + message.removeprefix(mapping)
        return message

    def _split_entry(self, key: str) -> tuple[str, str]:
        """Split ``data.pairs.boat`` into ``data.pairs`` and ``boat``; the entry of any other name is ''."""
        parts = key.split(".", 2)
        mapping = ".".join(parts[:2])
        if len(parts) == 3 and parts[2] and get_origin(self.settings.get(mapping)) is dict:
            return mapping, parts[2]
        return key, ""

    def _unknown(self, given: Given) -> str:
        section, _, name = given.key.partition(".")
        if section not in self.classes:
            nearest = did_you_mean(given.key, [*self.settings, *self.classes])
            return f"{given.place} is not a setting{nearest or '; `semples run --print_config` lists all settings'}"
        names = list(get_hints(self.classes[section]))
        if not name:
            return f"{given.place} is a section; expected one of its settings: {', '.join(names)}"
        nearest = did_you_mean(name, names) or f"; expected one of {', '.join(names)}"
        return f'{given.place} is not a setting of section "{section}"{nearest}'

    def _note(self, text: str) -> None:
        if not self.is_recorded:
            warnings.warn(text, SettingWarning, stacklevel=2)


def get_hints(kind: Any) -> dict[str, Any]:
    """Return a mapping: name of each setting of a section -> its type hint."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _problem_of(kind: Any, values: Mapping[str, Any], key: str) -> str | None:
    """Return why a section rejects one of its values, or None; problems of other values do not count."""
    try:
        kind(**values)
    except ConfigError as error:
        message = str(error)
        return message if message.startswith(key) else None
    return None


def _section_classes(names: Mapping[str, str]) -> dict[str, Any]:
    """Return a mapping: section -> its class, for the chosen reader and generator."""
    classes = {}
    for name, hint in get_type_hints(Config).items():
        if name in _CHOICES:
            classes[name] = _CHOICES[name].class_of(names.get(name, _CHOICES[name].default))
        elif is_dataclass(hint):
            classes[name] = hint
    return classes | {name: refinement_config(name) for name in REFINEMENTS}


def _settings(classes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping: dotted name of each setting -> its type hint."""
    top_level = {name: hint for name, hint in get_hints(Config).items() if name not in (*classes, "refinements")}
    return top_level | dict(_dotted(classes))


def _dotted(classes: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for section, kind in classes.items():
        yield from ((f"{section}.{name}", hint) for name, hint in get_hints(kind).items())


def _default(kind: Any, name: str) -> Any:
    """Return the default of a setting."""
    field = next(each for each in fields(kind) if each.name == name)
    return field.default if field.default_factory is MISSING else field.default_factory()


def _fallback(kind: Callable[..., Any], section: str) -> Any:
    """Return a default section instead of one that cannot be built, so that the search for problems continues."""
    return _CHOICES[section].class_of(_CHOICES[section].default)() if section in _CHOICES else kind()
