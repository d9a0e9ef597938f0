"""The file of the user's own words to describe prompts with (``prompts.words``)."""

from __future__ import annotations

from pathlib import Path

from semples.errors import ConfigError


def read_words_file(path: Path) -> list[str]:
    """Read words, one per line; empty lines and repeated words are skipped.

    Raises:
        ConfigError: The file cannot be read, or has no words in it.
    """
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
