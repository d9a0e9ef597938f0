"""Calls a user's own reader, given by its import path."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from semples.config.data import DataConfig
from semples.config.plugins import checked_options, import_object
from semples.data.catalogues import Phrases, catalogue_from_names
from semples.errors import ConfigError
from semples.records import Dataset


@dataclass(frozen=True)
class OwnReaderConfig(DataConfig):
    """A reader of the user's own."""

    options: dict[str, Any] = field(default_factory=dict)
    """Further arguments of the reader, by name."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.options:
            _checked_options(self.reader, self.options)

    def read(self, default_root: Path, seed: int, size_of: Callable[[Path], tuple[int, int] | None]) -> Dataset:
        """Call the reader, and drop images without a size."""
        del seed
        own = read_own(self.reader, Path(self.root or default_root).expanduser(), self.prompt_names, self.options)
        train, val = (tuple(s for s in part if size_of(s.path) is not None) for part in (own.train, own.val))
        return replace(own, train=train, val=val)


def read_own(
    import_path: str,
    root: Path,
    prompt_names: Phrases | None = None,
    options: Mapping[str, Any] | None = None,
) -> Dataset:
    """Call a user's function and return its data set.

    Args:
        import_path: ``module.function``; it is called with ``root`` and the options (``docs/extending.md``).
        root: Folder of the images.
        prompt_names: Class name -> one phrase or several for the vision-language model, in place of the reader's own.
        options: Further arguments, by name.

    Raises:
        ConfigError: There is no such function, an option does not fit its signature, or it returned something else.
    """
    read = import_object(import_path, "data.reader")
    dataset = read(root, **_checked_options(import_path, options or {}))
    if not isinstance(dataset, Dataset):
        raise ConfigError(
            f"data.reader: {import_path} returned a {type(dataset).__name__}, expected a semples.records.Dataset"
        )
    catalogue = dataset.catalogue
    given = prompt_names or {}
    words: Phrases = {**dict(zip(catalogue.names, catalogue.phrases, strict=True)), **given}
    suggestions = dict(zip(catalogue.names, catalogue.suggestions, strict=False))  # () where the reader has none
    further = {name: phrases for name, phrases in suggestions.items() if name not in given}
    return replace(dataset, catalogue=catalogue_from_names(catalogue.names, words, catalogue.category_ids, further))


def _checked_options(import_path: str, options: Mapping[str, Any]) -> dict[str, Any]:
    return checked_options(
        import_object(import_path, "data.reader"), options, import_path, "data.options", reserved=("root",)
    )
