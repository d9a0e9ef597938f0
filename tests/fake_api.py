"""A stand-in for the verbs of the package that records calls; what it returns, and readers of what is printed."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import semples
from semples.cli import main
from semples.cli.verbs import VERBS
from semples.config import Config
from semples.stages.updates import StageListener, StageUpdate

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
    "words": [
        {"boat": "water", "cat": "sand"},
        {"boat": "water", "cat": "sky"},
        {"boat": "cat", "cat": "sky"},
    ],
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
    """Like :class:`semples.verbs.diagnosis.Finding`, whose import takes seconds."""

    subject: str
    state: str
    found: str
    advice: str = ""


class FakeApi:
    """Records how it is called and returns what the real module promises."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.error: BaseException | None = None
        self.comparison = COMPARISON
        self.findings = [Finding("device", "ok", "cpu")]

    def take_the_place_of_the_verbs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let ``semples.run`` and the like be those of this object."""
        for verb in VERBS:
            monkeypatch.setitem(vars(semples), verb, getattr(self, verb))

    def called(self, verb: str, arguments: dict[str, Any]) -> None:
        self.calls.append((verb, arguments))
        if self.error:
            raise self.error

    def only_call(self) -> dict[str, Any]:
        assert len(self.calls) == 1
        return self.calls[0][1]

    def demo(self, out: Path, config: Config, force: str | None, quiet: bool, on_stage: StageListener | None) -> Path:
        self.called("demo", {"out": out, "config": config, "force": force, "quiet": quiet})
        self.tell_of_stages(on_stage)
        self.leave_results(out)
        return out

    def run(
        self,
        config: Config,
        out: Path,
        until: str | None = None,
        force: str | None = None,
        quiet: bool = False,
        on_stage: StageListener | None = None,
    ) -> Path:
        self.called("run", {"config": config, "out": out, "until": until, "force": force, "quiet": quiet})
        self.tell_of_stages(on_stage)
        if until is None:
            self.leave_results(out)
        return out

    def tell_of_stages(self, on_stage: StageListener | None) -> None:
        for news in UPDATES if on_stage is not None else ():
            on_stage(news)  # type: ignore[misc]

    def leave_results(self, out: Path) -> None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "evaluation.json").write_text(json.dumps(EVALUATION))
        (out / "report.html").write_text("<html>")

    def predict(self, images: list[Path], out: Path, **more: Any) -> list[Path]:
        self.called("predict", {"images": images, "out": out, **more})
        return [out / f"{image.stem}.png" for image in images]

    def evaluate(self, predictions: Path, truth: Path, classes: tuple[str, ...]) -> dict[str, Any]:
        self.called("evaluate", {"predictions": predictions, "truth": truth, "classes": classes})
        return SCORES

    def prompts(self, run: Path) -> dict[str, list[tuple[str, float]]]:
        self.called("prompts", {"run": run})
        return {"boat[s]": [("water", 0.912), ("sea", 0.5)], "cat": [("sky", -0.1)]}

    def export(self, run: Path, format: str, with_images: bool) -> Path:
        self.called("export", {"run": run, "format": format, "with_images": with_images})
        return run / "export" / format

    def report(self, run: Path) -> Path:
        self.called("report", {"run": run})
        return run / "report.html"

    def compare(self, **arguments: Any) -> dict[str, Any]:
        self.called("compare", arguments)
        return self.comparison

    def init(self, folder: Path, config: Path | None) -> SimpleNamespace:
        self.called("init", {"folder": folder, "config": config})
        found = {"reader": "folder", "images": (9, 1), "per_class": {"boat": 9}, "warnings": ()}
        return SimpleNamespace(config=Path(f"{folder.name}.yaml"), **found)

    def doctor(self, config: Config, out: Path) -> list[Finding]:
        self.called("doctor", {"config": config, "out": out})
        return self.findings


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
