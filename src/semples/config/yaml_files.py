"""Reading settings from YAML files, with the line of each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from semples.errors import ConfigError


def read_yaml(file: Path) -> tuple[dict[str, Any], dict[str, int], list[str]]:
    """Read a file of settings.

    Returns:
        The content; the line, from 1, of every section, setting and entry by dotted name; and an error text for each
        name that is given twice.

    Raises:
        ConfigError: The file is missing, is not YAML, or is not a mapping.
    """
    try:
        text = file.read_text(encoding="utf-8")
        values = yaml.safe_load(text)
        root = yaml.compose(text, yaml.SafeLoader)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror}); give a YAML file of settings") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(_yaml_problem(file, error)) from error
    if values is None:
        return {}, {}, []
    if not isinstance(values, dict):
        raise ConfigError(f'{file}: not a mapping; expected settings such as "seed: 0"')
    lines: dict[str, int] = {}
    repeated = []
    for key, line in _lines(root, ""):
        if key in lines:
            repeated.append(f"{file}:{line}: {key} is given twice, first on line {lines[key]}; keep one of them")
        lines[key] = line
    return values, lines, repeated


def _yaml_problem(file: Path, error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f"{file}:{error.problem_mark.line + 1}: not valid YAML ({error.problem}); correct that line"
    if isinstance(error, RecursionError):
        return f"{file}: not valid YAML (nested too deep); expected sections with settings in them"
    return f"{file}: not valid YAML ({' '.join(str(error).split())}); correct it, or save it as UTF-8"


def _lines(node: yaml.Node | None, prefix: str) -> Iterator[tuple[str, int]]:
    """Yield the dotted name and the line, from 1, of every section, setting and entry."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield f"{prefix}{key.value}", key.start_mark.line + 1
            if prefix.count(".") < 2:  # no deeper than data.pairs.boat: through an alias, a node may contain itself
                yield from _lines(value, f"{prefix}{key.value}.")
