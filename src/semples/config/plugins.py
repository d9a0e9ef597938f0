"""Importing objects by path: built-in parts that settings choose by name, and the user's own, with their options."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any, get_type_hints

from semples.config.values import convert, expected, shown
from semples.errors import ConfigError, did_you_mean


def import_object(path: str, setting: str) -> Any:
    """Import ``module.name``.

    Args:
        path: Import path with at least one dot.
        setting: Setting that holds the path, for errors.

    Raises:
        ConfigError: There is no such module, or it does not have that name.
    """
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{setting}: cannot import {path} ({error}); correct the name or PYTHONPATH") from error


def checked_options(
    called: Callable[..., Any], options: Mapping[str, Any], path: str, setting: str, reserved: Collection[str]
) -> dict[str, Any]:
    """Check options against the signature of the function or class that will receive them as keywords.

    Args:
        called: The function, or the class, whose constructor is checked.
        options: Values by parameter.
        path: Import path of the function or class, for errors.
        setting: Setting that holds the options, for errors.
        reserved: Parameters that the caller passes itself.

    Returns:
        The options, converted to the types that the parameters are annotated with.

    Raises:
        ConfigError: A parameter is unknown, missing, or has the wrong type.
    """
    parameters = inspect.signature(called).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    known = [name for name, each in parameters.items() if name not in reserved and each.kind not in variadic]
    for name in options:
        if name in reserved or not (name in known or takes_any):
            hint = did_you_mean(name, known) or f"; expected one of {', '.join(known) or 'none'}"
            raise ConfigError(f'{setting}.{name} is not an option of "{path}"{hint}')
    for name in known:
        if parameters[name].default is inspect.Parameter.empty and name not in options:
            raise ConfigError(f'{setting}.{name} is not set; "{path}" needs a value')
    hints = _hints(called)
    return {name: _converted(value, hints.get(name, Any), f"{setting}.{name}") for name, value in options.items()}


def _hints(called: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations of a function's or constructor's parameters, as far as they can be resolved."""
    function = called.__init__ if inspect.isclass(called) else called
    try:
        return get_type_hints(function)
    except (NameError, TypeError, AttributeError):  # a hint uses a name that only type checkers import
        return {}


def _converted(value: Any, hint: Any, key: str) -> Any:
    try:
        return convert(value, hint)
    except (ValueError, OverflowError):
        raise ConfigError(f"{key}: {shown(value)} is not valid; expected {expected(hint)}") from None
