"""Updates of the pipeline, one per stage: a line for people, a record for programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from rich.text import Text


@dataclass(frozen=True)
class StageUpdate:
    """The outcome of one stage.

    Attributes:
        stage: Name on the command line.
        status: "done" if it ran now, "unchanged" if its last result is still valid, "skipped" if it had nothing to do.
        seconds: Time that it took; None unless it ran now.
        peak_memory_mb: Peak memory of the process so far, in megabytes; None unless it ran now.
        reason: Why it was skipped.
        warnings: Reasons to doubt its result.
    """

    stage: str
    status: Literal["done", "unchanged", "skipped"]
    seconds: float | None = None
    peak_memory_mb: int | None = None
    reason: str | None = None
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return a line for the stage, and one for each warning.

        >>> print(StageUpdate("prompts", "done", 12.34, warnings=("prompts diverged",)))
        prompts            12.3 s
        prompts          warning: prompts diverged
        >>> print(StageUpdate("match", "skipped", reason="guidance.enabled is false"))
        match            skipped: guidance.enabled is false
        """
        outcome = self.status if self.seconds is None else f"{self.seconds:6.1f} s"
        lines = [f"{outcome}: {self.reason}" if self.reason else outcome]
        lines += [f"warning: {text}" for text in self.warnings]
        return "\n".join(f"{self.stage:16} {line}" for line in lines)

    def __rich__(self) -> Text:
        """Return the text for a rich console."""
        return Text(str(self))


StageListener = Callable[[StageUpdate], None]
"""Receives the update of each stage."""
