"""Values of settings: converting them to a type hint, and describing them in errors."""

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
    """Parse a word of the command line: strings are taken literally, everything else as YAML (and so JSON).

    Where a string or a list is accepted, text that starts with a bracket is YAML.
    """
    types = _types(hint)
    if text == "null" and NoneType in types:
        return None
    if get_origin(hint) is Literal:
        return text
    if str in types and not (_has_list(types) and text.lstrip().startswith("[")):
        return text
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return text


def convert(value: Any, hint: Any) -> Any:
    """Convert a value to a type hint, the first one that fits of several; a hint that settings do not use accepts all.

    Raises:
        ValueError: The value does not fit.
        OverflowError: The value is a whole number too large for a float.
    """
    if value is None and NoneType in _types(hint):
        return None
    first, *others = _alternatives(hint)
    if others and not _fits(value, first):
        return convert(value, Union[tuple(others)])  # noqa: UP007 (the types are known at run time only)
    hint = first
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
    first, *others = _alternatives(hint)
    suffix = "".join(f", or {expected(other)}" for other in others)
    suffix += ", or null" if NoneType in _types(hint) else ""
    if get_origin(first) is Literal:
        choices = [f'"{choice}"' for choice in get_args(first)]
        return ("one of " if len(choices) > 1 else "") + ", ".join(choices) + suffix
    if get_origin(first) is list:
        return f"a list, each item {expected(get_args(first)[0])}{suffix}"
    if get_origin(first) is dict:
        key_hint, value_hint = get_args(first)
        same = f"a mapping, each key and value {expected(value_hint)}"
        each = f"a mapping, each key {expected(key_hint)} and each value {expected(value_hint)}"
        return (same if key_hint == value_hint else each) + suffix
    return _DESCRIPTIONS.get(first, "another value") + suffix


def shown(value: Any) -> str:
    """Return a value on one line; null, booleans and strings as in YAML."""
    if value is None or isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False)
    return repr(value)


def _is_described(hint: Any) -> bool:
    return hint in _DESCRIPTIONS or get_origin(hint) in (list, dict, Literal)


def _finite(value: Any) -> float:
    # YAML reads 1e-3, without a decimal point, as a string.
    if not isinstance(value, int | float | str) or not math.isfinite(float(value)):
        raise ValueError
    return float(value)


def _types(hint: Any) -> tuple[Any, ...]:
    """Return the types of a union such as ``X | None``, or the single type."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _alternatives(hint: Any) -> list[Any]:
    """Return the types of a union other than None, in order."""
    return [each for each in _types(hint) if each is not NoneType] or [hint]


def _has_list(types: tuple[Any, ...]) -> bool:
    return any(get_origin(each) is list for each in types)


def _fits(value: Any, hint: Any) -> bool:
    try:
        convert(value, hint)
    except (ValueError, OverflowError):
        return False
    return True
