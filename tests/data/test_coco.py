"""COCO's layout: tags from categories, and every file and entry that can be missing or wrong."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from coco_json import annotation, box, edit, json_path, strip_segmentations, write_coco
from conftest import REPOSITORY
from matching import assert_mentions, mentions, refusal
from semples.data.catalogues import COCO
from semples.data.coco import read_coco
from semples.errors import ConfigError
from semples.records import Sample


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_coco(tmp_path / "coco")


def test_classes_are_contiguous_and_keep_their_ids(root: Path) -> None:
    catalogue = read_coco(root).catalogue
    assert catalogue.names == ("car", "cat", "tie")
    assert catalogue.category_ids == (3, 17, 90)
    assert catalogue.prompt_names == ("car", "cat", "necktie")


def test_samples_hold_paths_sizes_and_tags(root: Path) -> None:
    dataset = read_coco(root)
    assert {sample.id: sample.tags for sample in dataset.train} == {"a": (0, 2), "b": (1,), "c": (0, 1)}
    assert dataset.train[0].path == root / "train2017/a.jpg"
    assert dataset.train[0].size == (8, 10)
    assert dataset.train[0].mask_path == json_path(root)


def test_images_without_labels_are_left_out_of_training_and_stay_held_out(root: Path) -> None:
    dataset = read_coco(root)
    assert "empty" not in {sample.id for sample in dataset.train}
    assert [(sample.id, sample.tags) for sample in dataset.val] == [("d", ()), ("e", (0,))]


def test_prompt_names_can_be_given(root: Path) -> None:
    assert read_coco(root, prompt_names={"cat": "kitten"}).catalogue.prompt_names == ("car", "kitten", "necktie")
    with pytest.raises(ConfigError, match=mentions("cta", "cat")):
        read_coco(root, prompt_names={"cta": "kitten"})


def test_stripped_segmentations_change_nothing_but_the_truth(root: Path) -> None:
    before = read_coco(root)
    for split in ("train", "val"):
        strip_segmentations(json_path(root, split))
    after = read_coco(root)
    assert {(sample.mask_path, sample.mask_source) for sample in (*after.train, *after.val)} == {(None, None)}

    def known(samples: tuple[Sample, ...]) -> list[Any]:
        return [(sample.id, sample.path, sample.size, sample.tags) for sample in samples]

    assert (known(after.train), known(after.val)) == (known(before.train), known(before.val))
    assert after.catalogue == before.catalogue


def test_an_image_with_boxes_alone_has_no_truth(root: Path) -> None:
    edit(json_path(root), lambda value: value["annotations"][0].update(segmentation=[]))
    has_mask = {sample.id: sample.mask_path is not None for sample in read_coco(root).train}
    assert has_mask == {"a": False, "b": True, "c": True}


def test_annotations_are_not_kept(root: Path) -> None:
    """Nothing of a segmentation is in the samples: the source of masks opens the file when asked."""
    for sample in read_coco(root).train:
        assert vars(sample.mask_source).keys() == {"path", "image_ids", "values"}


def test_only_evaluation_and_the_supervised_bound_read_truth() -> None:
    users = set()
    for path in (REPOSITORY / "src" / "semples").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "semples.data.truth":
                users.add(path.name)
            if isinstance(node, ast.Attribute) and node.attr == "draw":
                assert path.name in ("truth.py", "coco_masks.py") or "scenes" in path.parts, path
    assert users == {"evaluation.py", "segment.py"}


class TestLayouts:
    @pytest.mark.parametrize(
        ("file", "folder"),
        [
            ("annotations/instances_train2014.json", "train2014"),
            ("annotations/instances_train.json", "images/train"),
            ("annotations/train.json", "images"),
            ("labels/train.json", "."),
        ],
    )
    def test_usual_names_are_found(self, root: Path, file: str, folder: str) -> None:
        for split in ("train", "val"):
            new = root / file.replace("train", split)
            new.parent.mkdir(exist_ok=True)
            json_path(root, split).rename(new)
            images = root / folder.replace("train", split)
            images.mkdir(parents=True, exist_ok=True)
            for path in (root / f"{split}2017").iterdir():
                path.rename(images / path.name)
            (root / f"{split}2017").rmdir()
        dataset = read_coco(root)
        assert [sample.id for sample in (*dataset.train, *dataset.val)] == ["a", "b", "c", "d", "e"]

    def test_names_can_be_given(self, root: Path) -> None:
        (root / "train2017").rename(root / "photos")
        json_path(root).rename(root / "mine.json")
        dataset = read_coco(root, "mine.json", "annotations/instances_val2017.json", "photos", "val2017")
        assert [sample.path.parent.name for sample in (*dataset.train, *dataset.val)] == [
            *["photos"] * 3,
            *["val2017"] * 2,
        ]

    @pytest.mark.parametrize("none", [None, ""])
    def test_the_held_out_split_can_be_absent(self, root: Path, none: str | None) -> None:
        assert read_coco(root, val_annotations=none).val == ()
        json_path(root, "val").unlink()
        assert read_coco(root).val == ()

    def test_what_is_missing_is_named(self, root: Path) -> None:
        assert_mentions(refusal(lambda: read_coco(root / "none")), root / "none")
        text = refusal(lambda: read_coco(root, val_annotations="x.json"))
        assert_mentions(text, root / "x.json")
        assert_mentions(refusal(lambda: read_coco(root, train_images="photos")), "photos", "data.train_images")
        json_path(root).unlink()
        text = refusal(lambda: read_coco(root))
        assert_mentions(text, "annotations/instances_train2017.json", "data.train_annotations")


class TestLabelFile:
    """``cls_labels_coco.npy`` of other projects."""

    @staticmethod
    def write(path: Path, labels: dict[Any, list[int]]) -> None:
        flags = {key: np.array(value, np.float32) for key, value in labels.items()}
        np.save(path, flags)  # type: ignore[arg-type]

    @pytest.mark.parametrize("name", ["cls_labels_coco.npy", "cls_labels.npy"])
    def test_by_number_and_by_file_name(self, root: Path, name: str) -> None:
        self.write(root / name, {1: [0, 1, 0], 2: [1, 0, 1], "c": [1, 0, 0], 6: [0, 0, 1], 9: [0, 0, 0], 10: [0, 0, 0]})
        tags = {sample.id: sample.tags for sample in read_coco(root, labels="npy").train}
        assert tags == {"a": (1,), "b": (0, 2), "c": (0,), "empty": (2,)}

    def test_an_image_that_is_not_in_it_has_no_label(self, root: Path) -> None:
        self.write(root / "cls_labels_coco.npy", {2: [1, 0, 1]})
        dataset = read_coco(root, labels="npy")
        assert [(sample.id, sample.tags) for sample in dataset.train] == [("b", (0, 2))]
        assert [sample.tags for sample in dataset.val] == [(), ()]

    def test_what_is_wrong_is_named(self, root: Path) -> None:
        assert_mentions(refusal(lambda: read_coco(root, labels="npy")), "cls_labels_coco.npy")
        path = root / "cls_labels_coco.npy"
        self.write(path, {77: [0, 1, 0]})
        assert_mentions(refusal(lambda: read_coco(root, labels="npy")), "label", "data.labels", "npy")
        self.write(path, {number: [1] * 80 for number in (1, 2, 5, 6)})
        assert_mentions(refusal(lambda: read_coco(root, labels="npy")), path, "image 1", 80, 3)
        self.write(path, {number: [1, 0, 2] for number in (1, 2, 5, 6)})
        assert_mentions(refusal(lambda: read_coco(root, labels="npy")), path, "image 1", 0, 1)
        with pytest.raises(ConfigError, match=mentions("labels", "xml", "auto", "npy")):
            read_coco(root, labels="xml")

    def test_eighty_flags_fit_the_real_categories(self, root: Path) -> None:
        """Numbers of well-known categories in the order of the label files: person 1, cat 16, toothbrush 80."""
        known = [{"id": number, "name": name} for number, name in zip(COCO.category_ids, COCO.names, strict=True)]
        for split in ("train", "val"):
            edit(json_path(root, split), lambda value: value.update(categories=known, annotations=[]))
        flags = [0] * 80
        flags[0] = flags[15] = flags[79] = 1
        self.write(root / "cls_labels_coco.npy", dict.fromkeys((1, 2, 5, 6, 9, 10), flags))
        dataset = read_coco(root, labels="npy")
        assert [dataset.catalogue.names[tag] for tag in dataset.train[0].tags] == ["person", "cat", "toothbrush"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda v: v.pop("images"), ("images",)),
        (lambda v: v.update(annotations={}), ("annotations",)),
        (lambda v: v.update(categories=[1]), ("categories",)),
        (lambda v: v["images"][1].update(id=1), ("image 1",)),
        (lambda v: v["images"][1].update(id="2"), (2, "id", "'2'", "whole number")),
        (lambda v: v["images"][1].update(id=True), (2, "id", "True", "whole number")),
        (lambda v: v["images"][1].pop("id"), (2, "id", "whole number")),
        (lambda v: v["images"][1].update(file_name="a.jpg"), ("image 2", "image 1", '"a"')),
        (lambda v: v["images"][1].update(file_name=5), ("image 2", "file_name", 5)),
        (lambda v: v["images"][0].update(height=9), ("image 1", "9 x 10", "8 x 10")),
        (lambda v: v["images"][0].pop("width"), ("image 1", "width", "whole number")),
        (lambda v: v["images"][0].update(file_name="../val2017/d.jpg"), ("image 1", "../val2017/d.jpg")),
        (lambda v: v["images"][0].update(file_name="/etc/passwd"), ("image 1", "/etc/passwd")),
        (lambda v: v["images"][0].update(file_name="none.jpg"), ("image 1", "none.jpg")),
        (lambda v: v["categories"][0].update(id=3), ("category 3",)),
        (lambda v: v["categories"][0].update(name="car"), ("categories", "car")),
        (lambda v: v["categories"][0].update(name="background"), ("categories", "background")),
        (lambda v: v["annotations"][1].update(category_id=4), ("annotation 2", "category_id", 4)),
        (lambda v: v["annotations"][1].pop("category_id"), ("annotation 2", "category_id")),
        (lambda v: v["annotations"][1].update(image_id=7), ("annotation 2", "image_id", 7)),
        (lambda v: v.update(annotations=[]), ("label",)),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_file_is_named(
    root: Path, change: Callable[[Any], object], named: Sequence[object]
) -> None:
    edit(json_path(root), change)
    refused = refusal(lambda: read_coco(root))
    assert_mentions(refused, *named)
    assert refused.startswith(str(json_path(root)))


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"", ("JSON", 1, 1)),
        (b'{"images": [', ("JSON",)),
        (b"[" * 100_000, ("JSON",)),
        (b"[]", ("list", "COCO")),
        (b'{"images": "\xff"}', ("0xff", "UTF-8")),
    ],
)
def test_files_that_are_no_annotations(root: Path, data: bytes, named: Sequence[object]) -> None:
    json_path(root).write_bytes(data)
    assert_mentions(refusal(lambda: read_coco(root)), json_path(root), *named)


def test_the_splits_must_have_the_same_categories(root: Path) -> None:
    edit(json_path(root, "val"), lambda value: value["categories"][0].update(id=91))
    text = refusal(lambda: read_coco(root))
    assert text.startswith(str(json_path(root, "val")))
    assert_mentions(text, "categories", json_path(root))


def test_an_image_that_is_a_link_out_of_its_folder_is_refused(root: Path, tmp_path: Path) -> None:
    (root / "train2017/a.jpg").rename(tmp_path / "secret.jpg")
    (root / "train2017/a.jpg").symlink_to(tmp_path / "secret.jpg")
    assert_mentions(refusal(lambda: read_coco(root)), root / "train2017/a.jpg", "link", root / "train2017")


def test_a_linked_folder_of_images_is_fine(root: Path, tmp_path: Path) -> None:
    (root / "train2017").rename(tmp_path / "elsewhere")
    (root / "train2017").symlink_to(tmp_path / "elsewhere")
    assert len(read_coco(root).train) == 3


def test_images_in_folders_have_folders_in_their_ids(root: Path) -> None:
    (root / "train2017/x").mkdir()
    Image.new("RGB", (10, 8)).save(root / "train2017/x/a.jpg")

    def change(value: Any) -> None:
        value["images"].append({"id": 70, "file_name": "x/a.jpg", "height": 8, "width": 10})
        value["annotations"].append(annotation(70, 70, 3, box(0, 0, 2, 2)))

    edit(json_path(root), change)
    assert [sample.id for sample in read_coco(root).train] == ["a", "b", "c", "x/a"]


def test_real_annotations(shared_data: Path) -> None:
    root = shared_data / "data/coco-mini"
    dataset = read_coco(root)
    assert dataset.catalogue.names == ("person", "car", "airplane")
    assert (len(dataset.train), len(dataset.val)) == (30, 10)
    content = json.loads((root / "labels/train.json").read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    expected: dict[str, set[str]] = {f"{image['id']:012d}": set() for image in content["images"]}
    for entry in content["annotations"]:
        expected[f"{entry['image_id']:012d}"].add(names[entry["category_id"]])
    found = {s.id: {dataset.catalogue.names[tag] for tag in s.tags} for s in dataset.train}
    assert found == expected
