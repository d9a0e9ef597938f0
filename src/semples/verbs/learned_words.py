"""``semples prompts``: the learned prompts in words."""

from __future__ import annotations

from pathlib import Path

from semples.errors import DataError
from semples.files import read_json


def prompts(run: Path) -> dict[str, list[tuple[str, float]]]:
    """Read the words nearest to each learned prompt, best first.

    Raises:
        DataError: The run has no stage 2, or its words were changed into something else.
    """
    path = run / "2-prompts" / "words.json"
    if not path.is_file():
        raise DataError(f"{path} is not there: give the directory of a run with guidance that passed stage prompts")
    try:
        words = read_json(path)["words"]
        return {name: [(str(word), float(score)) for word, score in epochs[-1]] for name, epochs in words.items()}
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path} holds no words of a run ({error}): --force prompts makes it again") from error
