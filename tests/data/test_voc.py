"""The VOC layout: every source of labels, and every file that can be missing or wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from matching import assert_mentions, refusal
from sample_data import write_split, write_tags
from semples.data.catalogues import VOC, catalogue_from_names
from semples.data.voc import read_voc
from semples.errors import ConfigError

ANIMALS = catalogue_from_names(["cat", "dog", "horse"])


def annotation(*names: str) -> str:
    objects = "".join(
        f"<object><name>{name}</name><part><name>head</name></part><bndbox><xmin>1</xmin></bndbox></object>"
        for name in names
    )
    return f"<annotation><folder>VOC2012</folder><source><name>flickr</name></source>{objects}</annotation>"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three images, a.jpg and b.jpg for training and c.jpg held out, without labels and masks."""
    (tmp_path / "JPEGImages").mkdir()
    for name, size in (("a", (30, 20)), ("b", (10, 20)), ("c", (5, 5))):
        Image.new("RGB", size).save(tmp_path / "JPEGImages" / f"{name}.jpg")
    write_split(tmp_path, "train", "a\nb\n")
    write_split(tmp_path, "val", "c\n")
    return tmp_path


def write_xml(root: Path, **names: tuple[str, ...]) -> None:
    (root / "Annotations").mkdir(exist_ok=True)
    for image, objects in names.items():
        (root / "Annotations" / f"{image}.xml").write_text(annotation(*objects), encoding="utf-8")


def write_npy(root: Path, flags: dict[Any, Any]) -> None:
    np.save(root / "cls_labels.npy", {key: np.array(value, np.float32) for key, value in flags.items()})  # type: ignore[arg-type]


def tags_of(root: Path, **options: Any) -> dict[str, tuple[int, ...]]:
    dataset = read_voc(root, catalogue=ANIMALS, **options)
    return {sample.id: sample.tags for sample in (*dataset.train, *dataset.val)}


EXPECTED = {"a": (0, 2), "b": (1,), "c": ()}


def test_samples_hold_paths_sizes_and_tags(root: Path) -> None:
    write_tags(root, "a,horse|cat", "b,dog", "c,")
    dataset = read_voc(root, catalogue=ANIMALS)
    assert [sample.id for sample in dataset.train] == ["a", "b"]
    assert [sample.id for sample in dataset.val] == ["c"]
    first = dataset.train[0]
    assert (first.path, first.size, first.tags, first.mask_path) == (root / "JPEGImages/a.jpg", (20, 30), (0, 2), None)


@pytest.mark.parametrize("spelling", ["{}", "{}.jpg", "JPEGImages/{}.jpg", "JPEGImages/{}"])
def test_tags_by_id_or_file_name(root: Path, spelling: str) -> None:
    rows = {"a": "horse|cat", "b": "dog", "c": ""}
    write_tags(root, *(f"{spelling.format(image)},{tags}" for image, tags in rows.items()))
    assert tags_of(root, labels="tags") == EXPECTED


def test_tags_from_annotations_are_those_of_whole_objects(root: Path) -> None:
    write_xml(root, a=("horse", "cat", "horse"), b=("dog",), c=())
    assert tags_of(root, labels="xml") == EXPECTED


def test_tags_from_flags(root: Path) -> None:
    write_npy(root, {"a": [1, 0, 1], "b": [0, 1, 0], "c": [0, 0, 0], "not there": [1, 1, 1]})
    assert tags_of(root, labels="npy") == EXPECTED


def test_flags_by_integer_ids(root: Path) -> None:
    Image.new("RGB", (4, 4)).save(root / "JPEGImages/2007_000032.jpg")
    write_split(root, "train", "2007_000032")
    write_npy(root, {2007000032: [0, 1, 0]})
    assert tags_of(root, val_split=None) == {"2007_000032": (1,)}


def test_auto_takes_the_first_source_that_exists(root: Path) -> None:
    (root / "Annotations").mkdir()  # an empty folder is no source
    write_npy(root, {image: [1, 0, 0] for image in "abc"})
    assert tags_of(root)["a"] == (0,)
    write_xml(root, a=("dog",), b=("dog",), c=())
    assert tags_of(root)["a"] == (1,)
    write_tags(root, "a,horse", "b,horse", "c,")
    assert tags_of(root)["a"] == (2,)
    assert tags_of(root, labels="npy")["a"] == (0,)


def test_splits_of_other_programs(root: Path) -> None:
    write_tags(root, "a,dog", "b,dog", "c,dog")
    write_split(root, "train_aug", "\ufeffb\r\n\r\n a \r\nc")
    dataset = read_voc(root, "train_aug", "", catalogue=ANIMALS)
    assert [sample.id for sample in dataset.train] == ["b", "a", "c"]
    assert dataset.val == ()


@pytest.mark.parametrize("val_split", [None, ""])
def test_without_held_out_split(root: Path, val_split: str | None) -> None:
    (root / "ImageSets/Segmentation/val.txt").unlink()
    write_tags(root, "a,dog", "b,dog")
    assert read_voc(root, val_split=val_split, catalogue=ANIMALS).val == ()


# Masks


def mask_paths(root: Path, **options: Any) -> list[str | None]:
    write_tags(root, "a,dog", "b,dog", "c,dog")
    dataset = read_voc(root, catalogue=ANIMALS, **options)
    samples = (*dataset.train, *dataset.val)
    paths = [sample.mask_path for sample in samples]
    return [path.relative_to(root).as_posix() if path else None for path in paths]


def test_masks_are_named_but_not_opened(root: Path) -> None:
    for name in ("SegmentationClass/a.png", "SegmentationClass/c.png", "SegmentationClassAug/a.png"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("no image at all")
    assert mask_paths(root) == ["SegmentationClassAug/a.png", None, "SegmentationClass/c.png"]
    assert mask_paths(root, masks_folder="SegmentationClass") == [
        "SegmentationClass/a.png",
        None,
        "SegmentationClass/c.png",
    ]


def test_named_folder_of_masks_must_exist(root: Path) -> None:
    assert_mentions(refusal(lambda: mask_paths(root, masks_folder="Masks")), root / "Masks")


# Errors


def test_missing_root(tmp_path: Path) -> None:
    text = refusal(lambda: read_voc(tmp_path / "none"))
    assert_mentions(text, tmp_path / "none", "VOC", "JPEGImages", "ImageSets/Segmentation")


def test_root_above_the_data_set_names_the_right_one(root: Path) -> None:
    inside = root / "VOCdevkit/VOC2012"
    inside.mkdir(parents=True)
    (root / "JPEGImages").rename(inside / "JPEGImages")
    assert_mentions(refusal(lambda: read_voc(root)), root, inside)


def test_no_labels_at_all(root: Path) -> None:
    text = refusal(lambda: read_voc(root))
    assert_mentions(text, root, "labels", "tags.csv", "Annotations/*.xml", "cls_labels.npy")


@pytest.mark.parametrize(
    ("labels", "file"), [("tags", "tags.csv"), ("xml", "Annotations/a.xml"), ("npy", "cls_labels.npy")]
)
def test_named_source_must_exist(root: Path, labels: str, file: str) -> None:
    text = refusal(lambda: read_voc(root, labels=labels))
    assert_mentions(text, root / file, "No such file or directory")


def test_unknown_source(root: Path) -> None:
    text = refusal(lambda: read_voc(root, labels="tag"), ConfigError)
    assert_mentions(text, "labels", "tag", "auto", "tags", "xml", "npy", "tags")


def test_unknown_split_names_those_there_are(root: Path) -> None:
    write_tags(root, "a,dog")
    text = refusal(lambda: read_voc(root, "trian"))
    assert_mentions(text, "trian.txt", "trian", "train", "val", "train")
    (root / "ImageSets/Segmentation/train.txt").unlink()
    (root / "ImageSets/Segmentation/val.txt").unlink()
    assert_mentions(refusal(lambda: read_voc(root)), "train.txt", '"train"')


@pytest.mark.parametrize(
    ("split", "named"),
    [
        ("\n", ("train.txt", "empty")),
        ("a\n\na\n", ("train.txt", 3, "a", 1)),
        ("a\nb.jpg\n", ("train.txt", 2, "b.jpg", "2007_000032")),
        ("a 1\nb -1\n", ("train.txt", 1, "a 1")),
        ("../a\n", ("train.txt", 1, "../a")),
        ("/JPEGImages/a.jpg /SegmentationClassAug/a.png\n", ("train.txt", 1)),
        ("a\nd\n", ("JPEGImages/d.jpg", "No such file or directory")),
    ],
)
def test_bad_splits(root: Path, split: str, named: Sequence[object]) -> None:
    write_tags(root, "a,dog", "b,dog", "c,dog")
    write_split(root, "train", split)
    assert_mentions(refusal(lambda: read_voc(root, catalogue=ANIMALS)), *named)


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        (["a,dgo", "b,dog", "c,"], ("tags.csv", "image a", "dgo", "dog")),
        (["a,dog", "c,"], ("tags.csv", "image b", "line")),
        (["a,dog", "b,", "c,"], ("train.txt", "image b", "tags")),
        (["a,dog", "b,dog", "c,", "d,dog"], ("tags.csv", "image d", "JPEGImages/d.jpg")),
        (["a,dog", "JPEGImages/a.jpg,cat"], ("tags.csv", "JPEGImages/a.jpg", "a")),
    ],
)
def test_bad_tags(root: Path, lines: list[str], named: Sequence[object]) -> None:
    write_tags(root, *lines)
    assert_mentions(refusal(lambda: read_voc(root, catalogue=ANIMALS)), *named)


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ({"a": [1, 0, 0]}, ("cls_labels.npy", "image b")),
        ({"a": [1, 0]}, ("cls_labels.npy", "image a", "[2]", 3)),
        ({"a": [[1, 0, 0]]}, ("cls_labels.npy", "image a", "[1, 3]", 3)),
        ({"a": [1, 0, 0.5]}, ("cls_labels.npy", "image a", 0, 1)),
        ({"a": [np.nan, 0, 1]}, ("cls_labels.npy", "image a", 0, 1)),
        ({"a": [0, 0, 0], "b": [1, 0, 0], "c": [1, 0, 0]}, ("train.txt", "image a", "tags")),
    ],
)
def test_bad_flags(root: Path, flags: dict[str, Any], named: Sequence[object]) -> None:
    write_npy(root, flags)
    assert_mentions(refusal(lambda: read_voc(root, catalogue=ANIMALS)), *named)


ENTITY = (
    '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><annotation><object><name>&e;</name></object></annotation>'
)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (annotation("camel").encode(), ("a.xml", "camel", "cat")),
        (b"<annotation><object>", ("a.xml", "VOC", "no element found")),
        (b"", ("a.xml", "VOC")),
        (b"\xff\xd8\xff\xe0", ("a.xml", "VOC", "not well-formed")),
        (b'<?xml version="1.0" encoding="none-such"?><annotation/>', ("a.xml", "VOC")),
        (b"<annotation><object><name/></object></annotation>", ("a.xml", '""')),
        (ENTITY.encode(), ("a.xml", "VOC", "DOCTYPE")),
        (ENTITY.encode("utf-16"), ("a.xml", "VOC", "DOCTYPE")),
        (b"<!DOCTYPE annotation><annotation/>", ("a.xml", "VOC", "DOCTYPE")),
    ],
)
def test_bad_annotations(root: Path, content: bytes, named: Sequence[object]) -> None:
    write_xml(root, a=(), b=("dog",), c=())
    (root / "Annotations/a.xml").write_bytes(content)
    assert_mentions(refusal(lambda: read_voc(root, catalogue=ANIMALS)), *named)


def test_damaged_image_is_found_by_the_reader(root: Path) -> None:
    write_tags(root, "a,dog", "b,dog", "c,dog")
    (root / "JPEGImages/b.jpg").write_text("<html>")
    assert_mentions(refusal(lambda: read_voc(root, catalogue=ANIMALS)), "JPEGImages/b.jpg", "JPEG", "PNG")


# Real photographs


def test_real_data_have_the_counts_of_their_description(shared_data: Path) -> None:
    dataset = read_voc(shared_data / "data/voc2012-animals")
    assert (len(dataset.train), len(dataset.val)) == (1000, 120)
    counts = Counter(VOC.names[tag] for sample in dataset.train for tag in sample.tags)
    named = {"dog": 291, "cat": 258, "person": 214, "horse": 190, "sheep": 141, "cow": 123}
    named |= {"sofa": 47, "chair": 45, "car": 37}
    assert dict(counts.most_common(9)) == named
    assert counts.most_common(10)[-1][1] < 35
    assert all(sample.mask_path is not None for sample in (*dataset.train, *dataset.val))


def test_real_tags_and_flags_agree(shared_data: Path) -> None:
    root = shared_data / "data/voc2012-animals"
    assert read_voc(root, labels="tags") == read_voc(root, labels="npy")


def test_real_sizes_are_those_of_the_pixels(shared_data: Path) -> None:
    for sample in read_voc(shared_data / "data/voc2012-animals").val[:20]:
        with Image.open(sample.path) as image:
            assert sample.size == np.asarray(image).shape[:2]


def test_no_pixel_is_decoded(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    assert len(read_voc(shared_data / "data/voc2012-animals").train) == 1000
