"""A run on COCO annotations, from JSON to scores, and that nothing but the scores sees a segmentation."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import semples
from coco_json import edit, json_path, strip_segmentations, write_coco
from run_files import TINY, config_from, digests, learned, statuses
from semples.config import Config

pytestmark = pytest.mark.whole

COCO = {**TINY, "data.reader": "coco", "cams.flip": False, "prompts.length": 2, "pseudo_masks.threshold": 0.3}


def fast(root: Path, **changes: Any) -> Config:
    return config_from(COCO, data__root=str(root), **changes)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_coco(tmp_path_factory.mktemp("data") / "coco", (32, 40))


@pytest.fixture(scope="module")
def finished(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return semples.run(fast(root), tmp_path_factory.mktemp("run") / "first", quiet=True)


def test_it_is_scored_against_the_drawn_masks(finished: Path) -> None:
    evaluation = json.loads((finished / "evaluation.json").read_text())
    assert evaluation["classes"] == ["car", "cat", "tie"]
    assert evaluation["pseudo_masks"]["images"] == 3
    assert evaluation["segmentation"]["val"]["images"] == 2
    assert 0 <= evaluation["cams"]["refine"]["miou"] <= 1
    assert {path.stem for path in (finished / "6-evaluate/truth").iterdir()} == {"a", "b", "c", "d", "e"}


def test_the_index_holds_the_ids_for_files_that_go_back(finished: Path) -> None:
    index = json.loads((finished / "dataset.json").read_text())
    assert dict(zip(index["classes"], index["category_ids"], strict=True)) == {"car": 3, "cat": 17, "tie": 90}
    assert [entry["tags"] for entry in index["train"]] == [[0, 2], [1], [0, 1]]


def test_stripped_segmentations_change_no_byte_of_what_is_learned(finished: Path, root: Path, tmp_path: Path) -> None:
    stripped = tmp_path / "coco"
    shutil.copytree(root, stripped)
    for split in ("train", "val"):
        strip_segmentations(json_path(stripped, split))
    run = semples.run(fast(stripped), tmp_path / "run", quiet=True)
    index, before = (json.loads((path / "dataset.json").read_text()) for path in (run, finished))
    for entry in (*index["train"], *index["val"], *before["train"], *before["val"]):
        entry["path"] = Path(entry["path"]).name
    assert index == before
    assert learned(run) == learned(finished)
    assert statuses(run)["6-evaluate"] == "skipped"
    assert not (run / "evaluation.json").exists()


def test_a_changed_segmentation_is_scored_again_and_nothing_else(
    finished: Path, copied_run: Path, root: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "coco"
    shutil.copytree(root, copy)
    edit(json_path(copy), lambda value: value["annotations"][1].update(segmentation=[[0, 0, 40, 0, 40, 32, 0, 32]]))
    semples.run(fast(copy), copied_run, quiet=True)
    before, after = digests(finished), digests(copied_run)
    assert {name for name in after if after[name] != before[name]} == {"5-supervised-bound", "6-evaluate"}
    assert (copied_run / "evaluation.json").read_bytes() != (finished / "evaluation.json").read_bytes()


def test_the_supervised_bound_trains_on_drawn_masks(copied_run: Path, root: Path) -> None:
    semples.run(fast(root, segment__supervised_bound=True), copied_run, quiet=True)
    evaluation = json.loads((copied_run / "evaluation.json").read_text())
    assert 0 <= evaluation["supervised_bound"]["val"]["miou"] <= 1


def test_real_annotations_from_json_to_scores(shared_data: Path, tmp_path: Path) -> None:
    """The first four training images and the first two held-out ones of the mini set."""
    source = shared_data / "data" / "coco-mini"
    for split, count in (("train", 4), ("val", 2)):
        content = json.loads((source / f"labels/{split}.json").read_text())
        content["images"] = content["images"][:count]
        ids = {image["id"] for image in content["images"]}
        content["annotations"] = [entry for entry in content["annotations"] if entry["image_id"] in ids]
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / f"labels/{split}.json").write_text(json.dumps(content))
    folder = str(source / "images")
    places = {"data__train_images": folder, "data__val_images": folder}
    config = fast(tmp_path, **places, cams__scales=[0.25], pseudo_masks__refinement=[])
    run = semples.run(config, tmp_path / "run", quiet=True)
    evaluation = json.loads((run / "evaluation.json").read_text())
    assert evaluation["classes"] == ["person", "car", "airplane"]
    assert (evaluation["pseudo_masks"]["images"], evaluation["segmentation"]["val"]["images"]) == (4, 2)
    assert statuses(run)["6-evaluate"] == "done"
