"""A reader of the user's own, named by its import path."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from semples.data.catalogues import catalogue_from_names
from semples.errors import ConfigError
from semples.records import Dataset


def read_own(import_path: str, root: Path, prompt_names: Mapping[str, str] | None = None) -> Dataset:
    """Call a user's function and take the data set that it returns.

    Args:
        import_path: ``module.function``; it is called with ``root`` (``docs/extending.md``).
        root: Folder of the images.
        prompt_names: Class name -> the word to give the vision-language model, where the reader's is not wanted.

    Raises:
        ConfigError: There is no such function, or it returned something else.
    """
    module, _, name = import_path.rpartition(".")
    try:
        read = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"data.reader: cannot import {import_path}: {error}") from error
    dataset = read(root)
    if not isinstance(dataset, Dataset):
        raise ConfigError(
            f"data.reader: {import_path} returned a {type(dataset).__name__}, expected a semples.records.Dataset"
        )
    own = dataset.catalogue
    words = {**dict(zip(own.names, own.prompt_names, strict=True)), **(prompt_names or {})}
    return replace(dataset, catalogue=catalogue_from_names(own.names, words, own.category_ids))
