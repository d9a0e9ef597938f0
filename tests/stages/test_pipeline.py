"""The whole run on a few scenes: what it leaves, what it skips, and that it never looks at masks to learn."""

from __future__ import annotations

import json
import shutil
from functools import partial
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

import semples
from matching import mentions
from run_files import PLAIN, UNGUIDED, config_from, digests, learned, statuses
from semples.errors import ConfigError
from semples.models.loading import fingerprint
from semples.rundir.layout import RunDirectory
from semples.rundir.manifest import Manifest
from semples.stages.pipeline import STAGES

pytestmark = pytest.mark.whole

CLASSIFIER, MATCHED = "0-classify/mask_generator.safetensors", "1-match/mask_generator.safetensors"
small = partial(config_from, PLAIN)


@pytest.fixture
def finished(plain_run: Path) -> Path:
    return plain_run


def test_it_leaves_the_files_of_the_design(finished: Path) -> None:
    ids = [f"train-{i:05d}" for i in range(1, 7)]
    expected = {
        "2-prompts/prompts.safetensors",
        "2-prompts/words.json",
        "5-segment/model/config.json",
        "5-segment/model/inference.json",
        "5-segment/model/model.safetensors",
        "5-segment/model/preprocessor_config.json",
        *(f"{stage}/mask_generator.safetensors" for stage in ("0-classify", "1-match", "3-refine")),
        *(f"{stage}/cams/{i}.safetensors" for stage in ("0-classify", "1-match", "3-refine") for i in ids),
        *(f"2-prompt-maps/{i}.safetensors" for i in ids),
        *(f"4-pseudo-masks/{i}.png" for i in ids),
        "4-pseudo-masks/threshold.json",
        *(f"5-segment/predictions/val-{i:05d}.png" for i in range(1, 3)),
    }
    assert set(learned(finished)) == expected
    for name in ("config.yaml", "manifest.json", "metrics.jsonl", "dataset.json", "evaluation.json", "report.html"):
        assert (finished / name).stat().st_size > 0
    assert (finished / "6-evaluate" / "predictions" / "train-00001.png").is_file()
    assert "Prediction" in (finished / "report.html").read_text()


def test_prompt_maps_are_those_of_tagged_classes_with_peak_1(finished: Path) -> None:
    for entry in json.loads((finished / "dataset.json").read_text())["train"]:
        found = load_file(finished / "2-prompt-maps" / f"{entry['id']}.safetensors")
        assert found["classes"].tolist() == entry["tags"]
        assert found["cams"].dtype == np.uint8
        assert found["cams"].shape == (len(entry["tags"]), 96, 96)
        assert all(cam.max() in (0, *range(200, 256)) for cam in found["cams"])  # enlarging lowers a peak at the border


def test_evaluation_has_the_keys_of_the_design(finished: Path) -> None:
    evaluation = json.loads((finished / "evaluation.json").read_text())
    assert list(evaluation) == ["classes", "cams", "refinements", "pseudo_masks", "segmentation", "supervised_bound"]
    assert evaluation["classes"] == ["boat", "train", "ball"]
    assert evaluation["supervised_bound"] is None
    for part in (*evaluation["cams"].values(), evaluation["pseudo_masks"], *evaluation["segmentation"].values()):
        assert set(part["iou"]) == {"background", "boat", "train", "ball"}
        assert 0 <= part["miou"] <= 1
    cam = evaluation["cams"]["refine"]
    assert cam["oracle_miou"] >= cam["miou"]
    masks = evaluation["pseudo_masks"]
    assert (cam["criterion"], masks["criterion"]) == ("prompts", "prompts")
    assert masks["oracle_miou"] == cam["oracle_miou"]  # the same maps, as nothing refines them
    for scores in (cam, masks):
        assert scores["oracle_distance"] == pytest.approx(scores["oracle_miou"] - scores["miou"])


def test_pseudo_masks_hold_tagged_classes_only(finished: Path) -> None:
    dataset = json.loads((finished / "dataset.json").read_text())
    for entry in dataset["train"]:
        mask = np.asarray(Image.open(finished / "4-pseudo-masks" / f"{entry['id']}.png"))
        assert mask.shape == (entry["height"], entry["width"])
        assert set(np.unique(mask)) <= {0, *(tag + 1 for tag in entry["tags"])}


def test_the_same_command_again_does_nothing(finished: Path) -> None:
    before = (finished / "manifest.json").read_text()
    semples.run(small(), finished, quiet=True)
    assert (finished / "manifest.json").read_text() == before


def test_a_changed_setting_runs_its_stage_and_those_after_it(finished: Path, copied_run: Path) -> None:
    semples.run(small(prompts__epochs=3), copied_run, until="refine", quiet=True)
    before, after = digests(finished), digests(copied_run)
    assert {name for name in before if before[name] != after[name]} == {"2-prompts", "2-prompt-maps", "3-refine"}
    assert len(json.loads((copied_run / "2-prompts/words.json").read_text())["epochs"]) == 3


def test_equal_runs_have_equal_bytes_with_and_without_masks(finished: Path, tmp_path: Path) -> None:
    """Deleting every ground-truth mask changes nothing that is learned or chosen."""
    scenes = tmp_path / "scenes"
    shutil.copytree(finished / "scenes", scenes)
    shutil.rmtree(scenes / "masks")
    run = semples.run(small(data__root=str(scenes)), tmp_path / "run", quiet=True)
    assert learned(run) == learned(finished)
    assert statuses(run)["6-evaluate"] == "skipped"
    assert not (run / "evaluation.json").exists()
    assert (run / "report.html").exists()


def test_augmentation_is_for_stages_1_and_3_and_for_stage_0_where_asked(finished: Path, copied_run: Path) -> None:
    strong = {"augmentation__randaugment_operations": 2, "augmentation__random_erasing": 0.5}
    semples.run(small(**strong), copied_run, until="match", quiet=True)
    assert (copied_run / CLASSIFIER).read_bytes() == (finished / CLASSIFIER).read_bytes()
    assert (copied_run / MATCHED).read_bytes() != (finished / MATCHED).read_bytes()
    semples.run(small(**strong, augmentation__classify=True), copied_run, until="classify", quiet=True)
    assert (copied_run / CLASSIFIER).read_bytes() != (finished / CLASSIFIER).read_bytes()


def test_stage_2_sees_no_augmentation() -> None:
    """Only through the generator of stage 1 does its digest change."""
    reading = {stage.name for stage in STAGES if "augmentation" in stage.settings}
    assert reading == {"classify", "match", "refine"}


def test_means_are_taken_over_chosen_classes(finished: Path, copied_run: Path) -> None:
    semples.run(small(evaluation__classes=["boat", "background"]), copied_run, quiet=True)
    assert statuses(copied_run) == statuses(finished)
    assert learned(copied_run) == learned(finished)  # nothing is trained again
    scores = json.loads((copied_run / "evaluation.json").read_text())["cams"]["refine"]
    assert scores["miou"] == pytest.approx((scores["iou"]["background"] + scores["iou"]["boat"]) / 2)


def test_what_has_no_score_is_null_in_the_file(copied_run: Path) -> None:
    """Of background alone there are no false positives to average; NaN would not be valid JSON."""
    semples.run(small(evaluation__classes=["background"]), copied_run, quiet=True)
    text = (copied_run / "evaluation.json").read_text()
    assert "NaN" not in text
    scores = json.loads(text)["cams"]["refine"]
    assert scores["oracle_false_positive"] is None
    assert scores["oracle_distance"] == pytest.approx(scores["oracle_miou"] - scores["miou"])


def test_a_stage_is_forgotten_on_disk_before_its_files_go(finished: Path, tmp_path: Path) -> None:
    """Or a kill between the two would leave half a folder that the manifest calls done."""
    shutil.copy(finished / "manifest.json", tmp_path)
    Manifest(RunDirectory(tmp_path)).invalidate_from("match")
    assert list(statuses(tmp_path)) == ["0-classify"]


def test_a_class_that_is_none_is_told_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=mentions("evaluation.classes", "bout", "boat")):
        semples.run(small(evaluation__classes=["bout"]), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run" / "manifest.json").exists()


def test_without_guidance_no_vision_language_model_is_needed(unguided_run: Path) -> None:
    assert not Path(UNGUIDED["vision_language.model"]).exists()
    assert statuses(unguided_run)["0-classify"] == statuses(unguided_run)["6-evaluate"] == "done"


def test_guidance_off_cuts_the_classifiers_cams(finished: Path, unguided_run: Path) -> None:
    assert [statuses(unguided_run)[name] for name in ("1-match", "2-prompts", "3-refine")] == ["skipped"] * 3
    evaluation = json.loads((unguided_run / "evaluation.json").read_text())
    assert evaluation["cams"]["match"] is None
    assert evaluation["cams"]["refine"] is None
    assert evaluation["pseudo_masks"]["miou"] == pytest.approx(evaluation["cams"]["classify"]["miou"])
    assert (unguided_run / CLASSIFIER).read_bytes() == (finished / CLASSIFIER).read_bytes()


def test_the_supervised_bound_trains_on_true_masks(copied_run: Path) -> None:
    semples.run(small(segment__supervised_bound=True), copied_run, quiet=True)
    evaluation = json.loads((copied_run / "evaluation.json").read_text())
    assert 0 < evaluation["supervised_bound"]["val"]["miou"] <= 1


def test_new_weights_under_an_old_name_are_noticed(tmp_path: Path) -> None:
    """Digests hold the content of model folders: the same bytes elsewhere are the same model."""
    bundled = Path(str(resources.files("semples"))) / "assets" / "vision_language"
    copy = tmp_path / "model"
    shutil.copytree(bundled, copy)
    assert fingerprint(str(copy)) == fingerprint(str(bundled))
    config = copy / "config.json"
    config.write_text(config.read_text() + "\n")
    assert fingerprint(str(copy)) != fingerprint(str(bundled))
    assert fingerprint("some/hub-name") == []


def test_an_unknown_stage_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=mentions("refin", "refine")):
        semples.run(small(), tmp_path / "run", until="refin", quiet=True)


def test_words_are_those_of_the_vocabulary(finished: Path) -> None:
    words = semples.prompts(finished)
    assert list(words) == ["boat", "train", "ball"]
    for found in words.values():
        assert len(found) == 5
        scores = [score for _, score in found]
        assert scores == sorted(scores, reverse=True)
        assert all(word.isalpha() for word, _ in found)


def test_predict_on_new_images_of_any_size(finished: Path, tmp_path: Path) -> None:
    for name, size in (("wide.png", (150, 60)), ("tall.jpg", (40, 90))):
        Image.fromarray(np.full((size[1], size[0], 3), 90, np.uint8)).save(tmp_path / name)
    written = semples.predict(finished, [tmp_path], tmp_path / "out")
    assert [path.name for path in written] == ["tall.png", "wide.png"]
    assert Image.open(written[0]).size == (40, 90)
    assert (tmp_path / "out" / "wide-overlay.jpg").is_file()
