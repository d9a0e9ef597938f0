"""Objects by import path: the built-in parts that are chosen by name, and the user's own."""

from __future__ import annotations

import importlib
from typing import Any

from semples.errors import ConfigError


def import_object(path: str, setting: str) -> Any:
    """Import ``module.name``.

    Args:
        path: Import path with at least one dot.
        setting: Setting that names it, for the error.

    Raises:
        ConfigError: There is no such module, or nothing of that name in it.
    """
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{setting}: cannot import {path} ({error}); correct the name or PYTHONPATH") from error
