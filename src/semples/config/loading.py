"""Loading, overriding and saving settings.

The dataclasses of the sections are the only list of settings; their type hints decide which values are accepted.
Nothing here imports torch, so that the command line responds at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from semples.config.resolver import SECTION_NAMES, Given, Resolver
from semples.config.schema import Config
from semples.config.values import shown
from semples.config.yaml_files import read_yaml
from semples.errors import ConfigError
from semples.files import write_text

ENVIRONMENT = "environment"
"""Key of a saved file under which versions, commit and device are stored; loading ignores it."""

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
"""Settings of ``semples demo`` that differ from the defaults: half of the scenes, shorter trainings, a small
segmentation network that predicts at one scale, and no supervised bound."""


def load_config(
    file: Path | str | None = None,
    overrides: Mapping[str, Any] | Sequence[str] = (),
    is_recorded: bool = False,
) -> Config:
    """Return the defaults, changed by a YAML file and then by overrides.

    Args:
        file: Settings in YAML, in sections as :class:`semples.config.Config` has them.
        overrides: Values by dotted name (``{"data.bias": 0.8}``) or by section (``{"data": {"bias": 0.8}}``),
            or words as on a command line (``["--data.bias", "0.8", "--seed=1", "data.pairs.boat=sand"]``).
            Later ones win. A single entry (``data.pairs.boat``) changes the mapping as it is so far; a whole mapping
            replaces it.
        is_recorded: The file is the one of a run directory, which an earlier version may have written: settings
            without effect are dropped without a warning.

    Raises:
        ConfigError: The file is missing or is not YAML; or a setting is unknown, has the wrong type or is out
            of range. One line names all such problems, each with its line in the file or its word.

    Warns:
        SettingWarning: A setting has been renamed, or has no effect with the chosen reader or generator.
    """
    problems: list[str] = []
    given = [] if file is None else _read_file(Path(file), problems)
    if isinstance(overrides, Mapping):
        given += _flatten(overrides, lambda key: key, problems)
    else:
        given += _read_words(overrides, problems)
    return Resolver(problems, is_recorded).resolve(given)


def load_demo_config(words: Sequence[str] = ()) -> Config:
    """Return the settings of ``semples demo``: the defaults made small, changed by words as on a command line.

    Raises:
        ConfigError: As in :func:`load_config`.
    """
    return load_config(overrides=[*(f"--{name}={json.dumps(value)}" for name, value in DEMO.items()), *words])


def changed_config(config: Config, settings: Mapping[str, Any]) -> Config:
    """Return a copy of a config with some values changed by dotted name; reader and generator can change too.

    Raises:
        ConfigError: As in :func:`load_config`.
    """
    problems: list[str] = []
    given = _flatten(config.to_dict(), lambda key: key, problems)
    given += _flatten(settings, lambda key: key, problems)
    return Resolver(problems, is_recorded=True).resolve(given)


def default_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults of all settings, for the reader and the mask generator chosen in some settings.

    Args:
        settings: Settings in sections, as in a file; an unknown reader or generator counts as the default.
    """
    chosen = []
    for section, name in (("data", "reader"), ("mask_generator", "name")):
        values = settings.get(section)
        if isinstance(values, Mapping) and isinstance(values.get(name), str):
            chosen.append(Given(f"{section}.{name}", values[name], section))
    chosen.append(Given("data.root", ".", "data"))  # most readers need one
    try:
        defaults = Resolver([], is_recorded=True).resolve(chosen).to_dict()
    except ConfigError:
        return Config().to_dict()
    defaults["data"]["root"] = None
    return defaults


def config_to_yaml(config: Config) -> str:
    """Return YAML from which :func:`load_config` reads an equal config."""
    return yaml.safe_dump(config.to_dict(), sort_keys=False, allow_unicode=True)


def save_config(config: Config, path: Path, extra: Mapping[str, Any]) -> None:
    """Write a file that :func:`load_config` reads, with ``extra`` under :data:`ENVIRONMENT`."""
    environment = yaml.safe_dump({ENVIRONMENT: dict(extra)}, sort_keys=False, allow_unicode=True)
    write_text(path, config_to_yaml(config) + environment)


def _read_file(file: Path, problems: list[str]) -> list[Given]:
    values, lines, repeated = read_yaml(file)
    problems += repeated
    values.pop(ENVIRONMENT, None)
    return _flatten(values, lambda key: f"{file}:{lines[key]}: {key}" if key in lines else f"{file}: {key}", problems)


def _flatten(values: Mapping[str, Any], place: Callable[[str], str], problems: list[str]) -> list[Given]:
    """Turn sections into settings by dotted name; an empty section sets nothing.

    Args:
        values: Sections and single settings.
        place: Returns the place of a setting for errors, from its dotted name.
        problems: Receives a text for each section that is not a mapping.
    """
    given = []
    for key, value in ((str(key), value) for key, value in values.items()):
        if key not in SECTION_NAMES:
            given.append(Given(key, value, place(key)))
        elif isinstance(value, Mapping):
            given += [Given(f"{key}.{name}", part, place(f"{key}.{name}")) for name, part in value.items()]
        elif value is not None:
            problems.append(f"{place(key)}: {shown(value)} is not a section; expected settings inside it")
    return given


def _read_words(words: Sequence[str], problems: list[str]) -> list[Given]:
    """Parse words of a command line: ``--data.bias 0.8``, ``--data.bias=0.8`` or ``data.bias=0.8``."""
    given = []
    remaining = list(words)
    while remaining:
        word, equals, text = remaining.pop(0).partition("=")
        if not word.startswith("--") and not (word and equals):
            problems.append(f'unexpected argument "{word}{equals}{text}"; expected --section.key VALUE')
            continue
        if not equals:
            if not remaining or remaining[0].startswith("--"):
                problems.append(f"{word} has no value; expected {word} VALUE")
                continue
            text = remaining.pop(0)
        given.append(Given(word.removeprefix("--"), text, word, is_text=True))
    return given
