"""Values of settings: what a type hint accepts, and how it is described in an error."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import yaml

_DESCRIPTIONS = {str: "text in quotes", int: "a whole number", float: "a number", bool: "true or false"}


def parse(text: str, hint: Any) -> Any:
    """Read a word of the command line: text is taken as it is, everything else is YAML (and so JSON)."""
    types = _types(hint)
    if text == "null" and NoneType in types:
        return None
    if str in types or get_origin(hint) is Literal:
        return text
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return text


def convert(value: Any, hint: Any) -> Any:
    """Return the value as the type hint wants it; a hint that is not one of ours accepts everything.

    Raises:
        ValueError: It does not fit.
        OverflowError: It is a whole number too large for the float that is wanted.
    """
    if value is None and NoneType in _types(hint):
        return None
    hint = _types(hint)[0]
    if get_origin(hint) is list and isinstance(value, list | tuple):
        return [convert(item, get_args(hint)[0]) for item in value]
    if get_origin(hint) is dict and isinstance(value, Mapping):
        key_hint, value_hint = get_args(hint)
        return {convert(key, key_hint): convert(item, value_hint) for key, item in value.items()}
    if get_origin(hint) is Literal and value in get_args(hint):
        return value
    if hint is float and not isinstance(value, bool):
        return _finite(value)
    if hint is str and isinstance(value, Path):
        return str(value)
    if type(value) is hint or not _is_described(hint):
        return value
    raise ValueError


def expected(hint: Any) -> str:
    """Describe the values that a type hint accepts."""
    first, *rest = _types(hint)
    suffix = ", or null" if NoneType in rest else ""
    if get_origin(first) is Literal:
        return "one of " + ", ".join(f'"{choice}"' for choice in get_args(first)) + suffix
    if get_origin(first) is list:
        return f"a list, each item {expected(get_args(first)[0])}{suffix}"
    if get_origin(first) is dict:
        return f"a mapping, each key and value {expected(get_args(first)[1])}{suffix}"
    return _DESCRIPTIONS.get(first, "another value") + suffix


def shown(value: Any) -> str:
    """Write a value on one line, as a YAML file would have it if it is a plain one."""
    if value is None or isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False)
    return repr(value)


def _is_described(hint: Any) -> bool:
    return hint in _DESCRIPTIONS or get_origin(hint) in (list, dict, Literal)


def _finite(value: Any) -> float:
    # YAML reads 1e-3, without a point, as text.
    if not isinstance(value, int | float | str) or not math.isfinite(float(value)):
        raise ValueError
    return float(value)


def _types(hint: Any) -> tuple[Any, ...]:
    """Return the types of ``X | None`` (X comes first in our dataclasses), or the one type."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
