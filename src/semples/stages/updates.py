"""What the pipeline tells of a stage: a line for people, or a record for programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from rich.text import Text


@dataclass(frozen=True)
class StageNews:
    """One stage that was done, was unchanged, or had nothing to do; its text is for people.

    Attributes:
        stage: Name on the command line.
        status: Whether it was done now, its last result still stands, or there was nothing to do.
        seconds: Time that it took; None unless done now.
        peak_memory_mb: Largest memory of the process so far; None unless done now.
        reason: Why it was skipped.
        warnings: What to know before its result is trusted.
    """

    stage: str
    status: Literal["done", "unchanged", "skipped"]
    seconds: float | None = None
    peak_memory_mb: int | None = None
    reason: str | None = None
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return a line for the stage, and one for each warning.

        >>> print(StageNews("prompts", "done", 12.34, warnings=("prompts diverged",)))
        prompts            12.3 s
        prompts          warning: prompts diverged
        >>> print(StageNews("match", "skipped", reason="guidance.enabled is false"))
        match            skipped: guidance.enabled is false
        """
        known = self.status if self.seconds is None else f"{self.seconds:6.1f} s"
        lines = [f"{known}: {self.reason}" if self.reason else known, *(f"warning: {text}" for text in self.warnings)]
        return "\n".join(f"{self.stage:16} {line}" for line in lines)

    def __rich__(self) -> Text:
        """Return the text for a rich console."""
        return Text(str(self))


Teller = Callable[[StageNews], None]
"""Receives the news of each stage."""
