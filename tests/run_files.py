"""Settings of tiny runs on the built-in scenes, and the files of a run that are the same in equal runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from semples.config import Config
from semples.config.loading import load_config

TRAININGS = ("classify", "match", "prompts", "refine", "segment")
TINY = {
    "data.train_size": 6,
    "data.val_size": 3,
    "data.pairs": {"boat": "water", "ball": "grass"},
    "cams.scales": [1.0],
    **{f"{stage}.epochs": 1 for stage in TRAININGS},
    "device": "cpu",
}
"""Settings of a run of seconds through every stage; other tiny settings are differences from these."""

SMALL = {
    **TINY,
    "data.image_size": 64,
    "mask_generator.image_size": 64,
    "segment.image_size": 64,
    **{f"{stage}.epochs": 2 for stage in TRAININGS},
    **{f"{stage}.batch_size": 2 for stage in TRAININGS},
    "segment.ema": 0.9,
    "segment.color_jitter": 0.2,
    "segment.confidence_weighting": True,
}
"""The same with several steps in each of several epochs, and with the options that keep a state of their own."""


PLAIN = {
    **TINY,
    "data.pairs": {"boat": "water", "train": "rails", "ball": "grass"},
    "data.val_size": 2,
    **{f"{stage}.batch_size": 5 for stage in ("classify", "match", "refine", "segment")},
    "prompts.epochs": 2,
    "prompts.length": 2,
    "pseudo_masks.refinement": [],
    "segment.supervised_bound": False,
}
"""Settings of a guided run on three classes, with nothing optional."""

UNGUIDED: dict[str, Any] = {**PLAIN, "guidance.enabled": False, "vision_language.model": "/no/such/folder"}
"""The same without guidance; the vision-language model that it names does not exist."""


def config_from(settings: Mapping[str, Any], **changes: Any) -> Config:
    """Load settings and changes to them; ``data__root`` is the setting ``data.root``."""
    return load_config(overrides={**settings, **{key.replace("__", "."): value for key, value in changes.items()}})


def write_settings(file: Path, settings: Mapping[str, Any]) -> Path:
    """Write settings such as ``data.root`` as a YAML file of sections."""
    sections: dict[str, Any] = {}
    for key, value in settings.items():
        section, _, name = key.rpartition(".")
        (sections.setdefault(section, {}) if section else sections)[name] = value
    file.write_text(yaml.safe_dump(sections, sort_keys=False))
    return file


def artefacts(run: Path) -> dict[str, bytes]:
    """All files of a run but those that hold times, paths or settings of this very run."""
    left_out = {"config.yaml", "dataset.json", "manifest.json", "metrics.jsonl", "report.html", ".lock"}
    paths = (path for path in sorted(run.rglob("*")) if path.is_file())
    return {str(p.relative_to(run)): p.read_bytes() for p in paths if str(p.relative_to(run)) not in left_out}


def learned(run: Path) -> dict[str, bytes]:
    """All files that the stages before the evaluation leave; none of them may depend on ground truth."""
    found = (*run.glob("[0-4]-*/**/*"), *run.glob("5-segment/**/*"))
    paths = (path for path in sorted(found) if path.is_file())
    return {str(path.relative_to(run)): path.read_bytes() for path in paths}


def metrics(run: Path) -> list[dict[str, Any]]:
    """Lines of the log without the one figure that is a time."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "images_per_second"} for line in lines]


def stages(run: Path) -> dict[str, dict[str, Any]]:
    """Entries of the manifest, none where it is not there yet."""
    path = run / "manifest.json"
    entries: dict[str, dict[str, Any]] = json.loads(path.read_text())["stages"] if path.is_file() else {}
    return entries


def statuses(run: Path) -> dict[str, str]:
    return {name: entry["status"] for name, entry in stages(run).items()}


def digests(run: Path) -> dict[str, str]:
    return {name: entry["digest"] for name, entry in stages(run).items()}


def running(run: Path) -> str:
    """Folder of the stage that a run is in, or an empty string."""
    return next((name for name, entry in stages(run).items() if entry["status"] == "running"), "")
