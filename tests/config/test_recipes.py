"""Every recipe in configs/ runs, two steps in each stage, on bundled models or tiny random ones of the same types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import semples
import tiny
from coco_json import write_coco
from conftest import REPOSITORY
from run_files import TRAININGS, statuses
from sample_data import write_class_folders, write_voc
from semples.config import Config
from semples.config.loading import load_config

pytestmark = pytest.mark.whole

SIZES = {"mask_generator.image_size": 32, "segment.image_size": 64, "data.workers": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Name in a recipe -> folder of a tiny model of the same type."""
    base = tmp_path_factory.mktemp("models")
    return {
        "openai/clip-vit-base-patch32": str(tiny.save_clip_of_letters(base / "clip-32")),
        "openai/clip-vit-base-patch16": str(tiny.save_clip_of_letters(base / "clip-16")),
        "facebook/deit-small-patch16-224": str(tiny.save_backbone(base / "deit", "deit")),
        "nvidia/mit-b2": str(tiny.save_segformer(base / "mit-b2")),
    }


def write_data(config: Config, root: Path) -> dict[str, Any]:
    """Write four images to train on and two held out, in the recipe's layout; settings that find them."""
    if config.data.reader == "voc":
        data = config.to_dict()["data"]
        splits = {data["train_split"]: "abcd", data["val_split"] or "": "ef"}
        return {"data.root": str(write_voc(root, splits, (36, 44)))}
    if config.data.reader == "coco":
        found = {
            f"data.{key}": "auto" for key in ("train_annotations", "val_annotations", "train_images", "val_images")
        }
        return {"data.root": str(write_coco(root, (36, 44))), **found}
    if config.data.reader == "scenes":
        return {"data.train_size": 4, "data.val_size": 2, "data.image_size": 64}
    return {"data.root": str(write_class_folders(root, (36, 44), cat=4, boat=4))}


@pytest.mark.parametrize("path", sorted((REPOSITORY / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_every_stage_takes_its_steps(path: Path, models: dict[str, str], tmp_path: Path) -> None:
    config = load_config(path)
    named = {
        "vision_language.model": config.vision_language.model,
        "mask_generator.backbone": config.to_dict()["mask_generator"].get("backbone", "bundled"),
        "segment.model": config.segment.model,
    }
    stand_ins = {key: models[name] for key, name in named.items() if name != "bundled"}
    short = {f"{stage}.{key}": value for stage in TRAININGS for key, value in (("epochs", 1), ("batch_size", 2))}
    settings = {**write_data(config, tmp_path / "data"), **stand_ins, **short, **SIZES}
    run = semples.run(load_config(path, settings), tmp_path / "run", quiet=True)
    found = statuses(run)
    idle = set() if config.generator.generator_class().is_trainable else {"match"}
    if not config.guidance.enabled:
        idle = {"match", "prompts", "refine"}
    folders = {"classify": "0-classify", "match": "1-match", "prompts": "2-prompts", "refine": "3-refine"}
    for stage, folder in folders.items():
        assert found[folder] == ("skipped" if stage in idle else "done")
    assert found["5-segment"] == "done"
    assert len(list((run / "4-pseudo-masks").glob("**/*.png"))) >= 3
    assert (run / "report.html").is_file()
