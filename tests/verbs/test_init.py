"""What `semples init` writes for each layout, and what it warns of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alternatives import write_alternative
from matching import assert_mentions, mentions
from sample_data import write_class_folders, write_noise, write_tags
from semples.cli import main
from semples.config.loading import load_config
from semples.errors import DataError
from semples.verbs.diagnosis import doctor
from semples.verbs.first_config import init, suggested_prompt_name


def test_one_folder_per_class(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "pets", tvmonitor=30, house_cat=12)
    start = init(root, tmp_path / "pets.yaml")
    assert (start.reader, sum(start.images)) == ("folder", 42)
    assert list(start.per_class) == ["house_cat", "tvmonitor"]
    assert sum(start.per_class.values()) == start.images[0]
    config = load_config(start.config)
    assert (config.data.reader, config.data.root, config.to_dict()["data"]["classes"]) == (
        "folder",
        str(root),
        ["house_cat", "tvmonitor"],
    )
    assert config.data.prompt_names == {"house_cat": "house cat", "tvmonitor": "tv monitor"}
    assert (config.mask_generator.name, config.mask_generator.image_size, config.segment.image_size) == (
        "dense",
        64,
        64,
    )
    assert config.segment.batch_size == 2  # about 38 images: ten steps and more
    other = load_config(write_alternative(start.config))
    assert (other.mask_generator.name, other.mask_generator.image_size, other.generator.trains_backbone) == (
        "cam",
        64,
        True,
    )
    assert other.to_dict()["mask_generator"]["output_stride"] == 8
    assert other.classify.batch_size == other.match.batch_size == other.refine.batch_size == 2
    few, masks = start.warnings
    assert_mentions(few, 20, "house_cat", start.per_class["house_cat"])
    assert_mentions(masks, "masks", "scores")


def test_a_tags_file_with_large_photographs(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    for index in range(25):
        write_noise(root / f"{index}.jpg", (600, 800))
    write_tags(root, *(f"{index}.jpg,boat|person" for index in range(25)))
    config = load_config(init(root, tmp_path / "a.yaml").config)
    assert config.mask_generator.image_size == config.segment.image_size == 320
    other = load_config(write_alternative(tmp_path / "a.yaml"))
    assert other.to_dict()["mask_generator"]["output_stride"] == 16
    assert config.data.prompt_names == {}  # the built-in synonyms of person are better than VOC's "player"


def test_coco(tmp_path: Path) -> None:
    write_noise(tmp_path / "coco/images/1.jpg", (300, 400))
    annotations = {
        "images": [{"id": 1, "file_name": "1.jpg", "width": 400, "height": 300}],
        "categories": [{"id": 7, "name": "mouse"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 7, "bbox": [0, 0, 9, 9], "iscrowd": 0, "area": 81}],
    }
    (tmp_path / "coco/annotations").mkdir()
    (tmp_path / "coco/annotations/train.json").write_text(json.dumps(annotations))
    start = init(tmp_path / "coco", tmp_path / "c.yaml")
    assert (start.reader, start.images) == ("coco", (1, 0))
    config = load_config(start.config)
    assert config.data.prompt_names == {"mouse": "computer mouse"}
    assert "classes" not in config.to_dict()["data"]
    _, single, held_out, *_ = start.warnings
    assert_mentions(single, "one class")
    assert_mentions(held_out, "held-out")


def test_voc(shared_data: Path, tmp_path: Path) -> None:
    start = init(shared_data / "data/voc2012-animals", tmp_path / "v.yaml")
    assert start.reader == "voc"
    config = load_config(start.config)
    assert config.data.reader == "voc"
    assert config.segment.batch_size == 16


def test_every_model_is_bundled_and_larger_ones_are_named(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "pets", cat=3, dog=3)
    path = init(root, tmp_path / "pets.yaml").config
    config = load_config(path)
    assert (config.vision_language_model, config.segmentation_model) == ("bundled/photos", "bundled/photos")
    assert load_config(write_alternative(path)).generator.checkpoints()[0].name == "bundled/photos"
    assert_mentions(path.read_text(), "openai/clip-vit-base-patch16", "microsoft/resnet-50", "nvidia/mit-b0")
    models = [finding for finding in doctor(config, tmp_path) if finding.subject.endswith(".model")]
    assert {finding.state for finding in models} == {"ok", "note"}
    assert {finding.subject for finding in models} == {"vision_language.model", "segment.model"}


def test_hostile_names_stay_names(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "it's: {odd} #1", **{"a #b, [c]": 3, "no": 3})
    config = load_config(init(root, tmp_path / "h.yaml").config)
    assert config.to_dict()["data"]["classes"] == ["a #b, [c]", "no"]
    assert config.data.root == str(root)


@pytest.mark.parametrize(
    ("name", "words"),
    [("aeroplane", "aeroplane"), ("pottedplant", "potted plant"), ("traffic-light", "traffic light"), ("TV", "TV")],
)
def test_prompt_names(name: str, words: str) -> None:
    assert suggested_prompt_name(name) == words


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=mentions(tmp_path / "lost", "folder")):
        init(tmp_path / "lost", tmp_path / "x.yaml")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=mentions(tmp_path / "empty", "tags.csv")):
        init(tmp_path / "empty", tmp_path / "x.yaml")
    assert not (tmp_path / "x.yaml").exists()
    (tmp_path / "y.yaml").write_text("mine")
    with pytest.raises(DataError, match=mentions(tmp_path / "y.yaml", "--out")):
        init(write_class_folders(tmp_path / "pets", cat=2), tmp_path / "y.yaml")
    assert (tmp_path / "y.yaml").read_text() == "mine"


def test_the_verb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    write_class_folders(tmp_path / "pets", cat=30, dog=30)
    assert main(["init", "pets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert_mentions(lines[0], "folder", "images", 2)
    assert_mentions(lines[-1], "pets.yaml", "semples doctor --config pets.yaml")
    assert main(["init", "pets"]) == 2
