"""The file of words to describe prompts with (``prompts.words``): the user's own, or the bundled one."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from semples.errors import ConfigError

_NOUNS = Path(str(resources.files("semples") / "assets" / "photos" / "nouns.txt"))


BUNDLED = "bundled"
"""Value of the setting that stands for the bundled nouns of places."""


def read_words_file(name: str) -> list[str]:
    """Read words, one per line; empty lines and repeated words are skipped.

    Args:
        name: A text file, or "bundled".

    Raises:
        ConfigError: The file cannot be read, or has no words in it.
    """
    path = _NOUNS if name == BUNDLED else Path(name).expanduser()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"prompts.words: {path} cannot be read ({error}); give a text file, one word per line") from (
            error
        )
    words = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not words:
        raise ConfigError(f"prompts.words: {path} has no words in it; give a text file, one word per line")
    return words
