"""``2-prompts/words.json``: the words nearest to each learned prompt, epoch by epoch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from semples.errors import ResultError
from semples.files import write_json

NearestWords = Sequence[tuple[str, float]]
"""Words and their cosines in [-1, 1], nearest first."""


@dataclass(frozen=True)
class LearnedWords:
    """Words nearest to the prompts.

    Attributes:
        epochs: Numbers of the epochs.
        words: Class -> words nearest to its prompt after each of these epochs.
        mended: Classes whose prompts became the class itself and were mended; their last words are those of the mended
            prompts.
    """

    epochs: Sequence[int]
    words: Mapping[str, Sequence[NearestWords]]
    mended: Sequence[str] = ()

    def last(self, name: str) -> NearestWords:
        """Return the words nearest to the prompt of a class after the last epoch; empty without any epoch."""
        epochs = self.words.get(name, ())
        return epochs[-1] if epochs else ()


def write_words(path: Path, words: LearnedWords) -> None:
    """Write the file; ``mended`` is in it only if there is such a class."""
    mended = {"mended": list(words.mended)} if words.mended else {}
    write_json(path, {"epochs": list(words.epochs), "words": words.words, **mended})


def read_words(path: Path) -> LearnedWords:
    """Read the file of a finished stage.

    Raises:
        ResultError: The file is missing or damaged.
    """
    try:
        return parse_words(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ResultError(f"{path}: missing; give a run with guidance that has finished stage prompts") from error
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ResultError(f"{path}: damaged ({error}); --force prompts recreates it") from error


def parse_words(text: str) -> LearnedWords:
    """Parse the content of the file.

    Raises:
        ValueError: The text is not JSON, or a value is not a number.
        KeyError, TypeError, AttributeError: The text has another structure.
    """
    value = json.loads(text)
    words = {
        str(name): tuple(tuple((str(word), float(score)) for word, score in nearest) for nearest in epochs)
        for name, epochs in value["words"].items()
    }
    mended = tuple(str(name) for name in value.get("mended", ()))
    return LearnedWords(tuple(int(epoch) for epoch in value["epochs"]), words, mended)
