"""``semples prompts``: the learned prompts in words."""

from __future__ import annotations

from pathlib import Path

from semples.rundir.layout import RunDirectory
from semples.rundir.words import read_words


def prompts(run: Path | str) -> dict[str, list[tuple[str, float]]]:
    """Read the words nearest to each class's learned prompt, nearest first, with their cosines.

    Raises:
        DataError: ``run`` is not a run directory.
        ResultError: The run has not finished stage prompts, or its words are damaged.
    """
    directory = RunDirectory(Path(run))
    directory.require(directory.dataset)
    words = read_words(directory.words)
    return {name: list(words.last(name)) for name in words.words}
