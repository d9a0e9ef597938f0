"""A stand-in for ``semples.api`` that records calls, and the results it returns."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

from semples.config import Config

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


class FakeApi(ModuleType):
    """Records how it is called and returns what the real module promises."""

    def __init__(self) -> None:
        super().__init__("semples.api")
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.error: BaseException | None = None
        self.comparison = COMPARISON

    def called(self, verb: str, arguments: dict[str, Any]) -> None:
        self.calls.append((verb, arguments))
        if self.error:
            raise self.error

    def only_call(self) -> dict[str, Any]:
        assert len(self.calls) == 1
        return self.calls[0][1]

    def demo(self, out: Path, config: Config, force: str | None, quiet: bool) -> None:
        self.called("demo", {"out": out, "config": config, "force": force, "quiet": quiet})
        self.leave_results(out)

    def run(
        self,
        config: Config,
        out: Path,
        until: str | None = None,
        force: str | None = None,
        quiet: bool = False,
    ) -> Path:
        self.called("run", {"config": config, "out": out, "until": until, "force": force, "quiet": quiet})
        if until is None:
            self.leave_results(out)
        return out

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

    def compare(self, config: Config, seeds: int, out: Path, pairings: list[dict[str, str]] | None) -> dict[str, Any]:
        self.called("compare", {"config": config, "seeds": seeds, "out": out, "pairings": pairings})
        return self.comparison
