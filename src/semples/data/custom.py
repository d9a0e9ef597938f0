"""Calls a user's own reader, given by its import path."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from semples.data.catalogues import catalogue_from_names
from semples.errors import ConfigError
from semples.records import Dataset


def read_own(import_path: str, root: Path, prompt_names: Mapping[str, str] | None = None) -> Dataset:
    """Call a user's function and return its data set.

    Args:
        import_path: ``module.function``; it is called with ``root`` (``docs/extending.md``).
        root: Folder of the images.
        prompt_names: Class name -> word for the vision-language model, in place of the reader's own.

    Raises:
        ConfigError: The function does not exist, or it returned something else.
    """
    module, _, name = import_path.rpartition(".")
    try:
        read = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"data.reader: cannot import {import_path} ({error}); correct the name or PYTHONPATH"
        ) from error
    dataset = read(root)
    if not isinstance(dataset, Dataset):
        raise ConfigError(
            f"data.reader: {import_path} returned a {type(dataset).__name__}, expected a semples.records.Dataset"
        )
    catalogue = dataset.catalogue
    words = {**dict(zip(catalogue.names, catalogue.prompt_names, strict=True)), **(prompt_names or {})}
    return replace(dataset, catalogue=catalogue_from_names(catalogue.names, words, catalogue.category_ids))
