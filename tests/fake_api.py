"""A recorder in place of the package's verbs; what it returns, and readers of what is printed."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import semples
from semples.cli import main
from semples.cli.verbs import VERBS
from semples.stages.updates import StageUpdate

SCORES: dict[str, Any] = {
    "split": "train",
    "images": 20,
    "miou": 0.5125,
    "iou": {"background": 0.9, "boat[s]": 0.125, "cat": None},
    "false_positive": 0.3,
    "false_negative": 0.25,
    "coverage": 1.0,
}
CAM_SCORES = {**SCORES, "threshold": 0.4, "oracle_threshold": 0.35, "oracle_miou": 0.5875}
EVALUATION = {
    "classes": ["boat[s]", "cat"],
    "cams": {"classify": CAM_SCORES, "match": None, "refine": None},
    "pseudo_masks": {**SCORES, "miou": 0.5333},
    "segmentation": {"train": {**SCORES, "miou": 0.6111}, "val": {**SCORES, "miou": 0.6222}},
    "supervised_bound": None,
}
METHOD = {
    "miou": [0.5, 0.6, 0.52],
    "oracle_miou": [0.61, 0.61, 0.61],
    "false_positive": [0.25, 0.2, 0.3],
    "false_negative": [0.1, None, 0.1],
}
COMPARISON: dict[str, Any] = {
    "seeds": [0, 1, 2],
    "bias": 0.9,
    "pairs": {"boat": "water", "cat": "sand"},
    "methods": {"classify": METHOD, "full": {**METHOD, "miou": [0.7, 0.7, 0.7]}},
    "supervised_bound": [0.9, 0.8, 0.85],
    "words": [{"boat": "water", "cat": "sand"}, {"boat": "water", "cat": "sky"}, {"boat": "cat", "cat": "sky"}],
    "differences": {
        "full - classify": {"mean": 0.12, "interval": [0.01, 0.23]},
        "full - match": {"mean": -0.021, "interval": None},
    },
}

UPDATES = (
    StageUpdate("classify", "done", 1.5, 300, warnings=("few images",)),
    StageUpdate("match", "skipped", reason="guidance.enabled is false"),
    StageUpdate("segment", "unchanged"),
)


@dataclass(frozen=True)
class Finding:
    """Like :class:`semples.verbs.findings.Finding`, whose import takes seconds."""

    subject: str
    state: str
    found: str
    advice: str = ""


class FakeApi:
    """Records how each verb is called, checked against its real signature, and returns what the verb promises."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.error: BaseException | None = None
        self.comparison = COMPARISON
        self.findings = [Finding("device", "ok", "cpu")]

    def replace_verbs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let ``semples.run`` and the like be recorded by this object."""
        for verb in VERBS:
            monkeypatch.setitem(vars(semples), verb, self.recorder(verb))

    def recorder(self, verb: str) -> Callable[..., Any]:
        """Return a function that takes the arguments of a verb, no others, and answers from here."""

        def record(*positional: Any, **named: Any) -> Any:
            arguments = signature(verb).bind(*positional, **named).arguments
            on_stage = arguments.pop("on_stage", None)
            self.calls.append((verb, arguments))
            if self.error:
                raise self.error
            for news in UPDATES if on_stage is not None else ():
                on_stage(news)
            return self.answer(verb, arguments)

        return record

    def answer(self, verb: str, given: dict[str, Any]) -> Any:
        """Return what a verb returns; a run leaves its results."""
        match verb:
            case "demo" | "run":
                if given.get("until") is None:
                    self.leave_results(given["out"])
                return given["out"]
            case "predict":
                return [given["out"] / f"{image.stem}.png" for image in given["images"]]
            case "evaluate":
                return SCORES
            case "prompts":
                return {"boat[s]": [("water", 0.912), ("sea", 0.5)], "cat": [("sky", -0.1)]}
            case "export":
                return given["run"] / "export" / given["format"]
            case "report":
                return given["run"] / "report.html"
            case "compare":
                return self.comparison
            case "init":
                found = {"reader": "folder", "images": (9, 1), "per_class": {"boat": 9}, "warnings": ()}
                return SimpleNamespace(config=Path(f"{given['folder'].name}.yaml"), **found)
            case "doctor":
                return self.findings
        raise AssertionError(f"no answer for verb {verb}")

    def only_call(self) -> dict[str, Any]:
        assert len(self.calls) == 1
        return self.calls[0][1]

    def leave_results(self, out: Path) -> None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "evaluation.json").write_text(json.dumps(EVALUATION))
        (out / "report.html").write_text("<html>")


@cache
def signature(verb: str) -> inspect.Signature:
    """Return the signature of the real verb, whatever takes its place now."""
    return inspect.signature(semples.__getattr__(verb))


def error_line(words: list[str], output: pytest.CaptureFixture[str], status: int = 2) -> str:
    """Run a command that fails and return its one line on stderr, without ``semples: error: ``."""
    assert main(words) == status
    captured = output.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("semples: error: ")
    return captured.err.removeprefix("semples: error: ").rstrip("\n")


def cells(output: str) -> list[list[str]]:
    """Return the cells of the rows of a table that was printed, its rules and what is not a row left out."""
    rows = [re.split(r"\s{2,}", line.strip()) for line in output.splitlines()]
    return [row for row in rows if len(row) > 1]
