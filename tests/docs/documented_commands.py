"""Commands and file trees in README and docs, found in their text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from conftest import REPOSITORY

PAGES = (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md")))
PROGRAMS = ("semples", "python", "make", "torchrun")
NEEDS = "# needs "
"""What a reader sees of a command that no test executes: ``# needs a checkpoint``."""


@dataclass(frozen=True)
class Command:
    """One command as it stands in a page.

    Attributes:
        page: The page.
        words: Its words, without variables set in front of it.
        needs: What it needs that a test does not have; empty if it is executed.
    """

    page: Path
    words: tuple[str, ...]
    needs: str = ""

    def __str__(self) -> str:
        return f"{self.page.name}: {shlex.join(self.words)}"

    @property
    def semples_words(self) -> list[str] | None:
        """What the command line of semples gets, or None where another program is meant."""
        if self.words[0] == "semples":
            return list(self.words[1:])
        if "semples" in self.words and self.words[self.words.index("semples") - 1] == "-m":
            return list(self.words[self.words.index("semples") + 1 :])
        return None


def fenced(text: str, *languages: str) -> list[str]:
    """Contents of the fenced blocks of some languages ("" for none), in order."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [content for language, content in blocks if language in languages]


def fenced_commands(page: Path, text: str | None = None) -> Iterator[Command]:
    """Commands in the fenced blocks of a page; ``# needs ...`` counts for the rest of its block, or for its line."""
    for block in fenced(
        page.read_text(encoding="utf-8") if text is None else text, "", "bash", "sh", "console", "text"
    ):
        needs = ""
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith(NEEDS):
                needs = line
            words = _words(line.removeprefix("$ "))
            if words and words[0] in PROGRAMS:
                own = line[line.index(NEEDS) :] if NEEDS in line else ""
                yield Command(page, tuple(words), own or needs)


def inline_commands(page: Path) -> Iterator[Command]:
    """Commands in running text and tables; of a|b the first is taken, a verb alone is asked for help."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for code in re.findall(r"`([^`\n]+)`", text):
        words = _words(re.sub(r"(\w+)(?:\\?\|\w+)+", r"\1", code.replace("...", "")))
        if len(words) > 1 and words[0] in PROGRAMS:
            yield Command(page, (*words, "--help") if len(words) == 2 and words[0] == "semples" else tuple(words))


def _words(line: str) -> list[str]:
    """Words of a line of a shell, without variables in front; none where it is no such line."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return []
    while words and re.fullmatch(r"\w+=.*", words[0]):
        words.pop(0)
    return words
