"""What ``semples doctor`` says of one thing that it has checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """One thing checked: its state, what was found, and advice unless it is "ok"."""

    subject: str
    state: State
    found: str
    advice: str = ""
