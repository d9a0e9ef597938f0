"""Class catalogues and the VOC color map."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from matching import assert_mentions, mentions, refusal
from semples.data.catalogues import COCO, VOC, catalogue_from_names, voc_palette
from semples.errors import ConfigError


def test_voc_has_the_20_classes_in_the_order_of_its_masks() -> None:
    # Class numbers of the VOC 2012 development kit.
    numbers = {"aeroplane": 1, "bottle": 5, "cat": 8, "diningtable": 11, "dog": 12, "person": 15, "tvmonitor": 20}
    assert len(VOC) == 20
    assert {name: VOC.names.index(name) + 1 for name in numbers} == numbers


def test_voc_prompt_names_differ_for_four_classes_only() -> None:
    changed = {name: words for name, words in zip(VOC.names, VOC.prompt_names, strict=True) if name != words}
    assert changed == {
        "person": "player",
        "tvmonitor": "tv monitor",
        "diningtable": "dining table",
        "pottedplant": "potted plant",
    }


def test_coco_has_80_classes_in_the_order_of_its_ids() -> None:
    # Contiguous indices of well-known categories; ids run to 90 with ten gaps.
    numbers = {"person": 1, "airplane": 5, "dog": 17, "couch": 58, "tv": 63, "toothbrush": 80}
    assert len(COCO) == len(set(COCO.names)) == 80
    assert {name: COCO.names.index(name) + 1 for name in numbers} == numbers


def test_coco_ids_are_those_of_its_files() -> None:
    # Ids in instances_train2017.json, on both sides of each gap.
    ids = {"person": 1, "fire hydrant": 11, "stop sign": 13, "backpack": 27, "umbrella": 28, "handbag": 31}
    ids |= {"tennis racket": 43, "bottle": 44, "wine glass": 46, "dining table": 67, "toilet": 70, "tv": 72}
    ids |= {"refrigerator": 82, "book": 84, "toothbrush": 90}
    assert {name: COCO.category_ids[COCO.names.index(name)] for name in ids} == ids
    assert len(COCO.category_ids) == 80
    assert list(COCO.category_ids) == sorted(COCO.category_ids)


def test_coco_prompt_names_differ_where_a_name_has_another_meaning() -> None:
    changed = {name: words for name, words in zip(COCO.names, COCO.prompt_names, strict=True) if name != words}
    assert changed == {
        "mouse": "computer mouse",
        "remote": "remote control",
        "tie": "necktie",
        "orange": "orange fruit",
        "hair drier": "hair dryer",
    }


def test_category_ids_must_be_one_for_each_class() -> None:
    assert catalogue_from_names(["a", "b"], category_ids=[3, 7]).category_ids == (3, 7)
    for ids in ([3], [3, 3]):
        with pytest.raises(ConfigError, match=mentions(1, "category ids", 2)):
            catalogue_from_names(["a", "b"], category_ids=ids)


def test_coco_names_hold_those_of_real_annotations(shared_data: Path) -> None:
    text = (shared_data / "data/coco-mini/labels/train.json").read_text(encoding="utf-8")
    in_file = {category["name"].replace("aeroplane", "airplane") for category in json.loads(text)["categories"]}
    assert in_file <= set(COCO.names)


@pytest.mark.parametrize(
    ("index", "color"),
    [
        (0, (0, 0, 0)),
        (1, (128, 0, 0)),
        (2, (0, 128, 0)),
        (8, (64, 0, 0)),
        (15, (192, 128, 128)),
        (20, (0, 64, 128)),
        (64, (32, 0, 0)),
        (255, (224, 224, 192)),
    ],
)
def test_voc_palette_has_the_published_colors(index: int, color: tuple[int, int, int]) -> None:
    assert tuple(voc_palette()[3 * index : 3 * index + 3]) == color


def test_voc_palette_has_256_distinct_colors() -> None:
    palette = voc_palette()
    assert len(palette) == 768
    assert len(set(zip(palette[0::3], palette[1::3], palette[2::3], strict=True))) == 256


def test_voc_palette_is_that_of_the_published_masks(shared_data: Path) -> None:
    with Image.open(next((shared_data / "data/voc2012-animals/SegmentationClassAug").glob("2007_*.png"))) as mask:
        stored = mask.getpalette()
    assert stored is not None
    assert voc_palette()[: len(stored)] == stored


def test_names_are_their_own_prompt_names_unless_aliased() -> None:
    catalogue = catalogue_from_names(["cat", "crane"], {"crane": "crane bird"})
    assert catalogue.names == ("cat", "crane")
    assert catalogue.prompt_names == ("cat", "crane bird")


@pytest.mark.parametrize(
    ("names", "aliases", "named"),
    [
        (["cat", "dog"], {"dgo": "puppy"}, ("dgo", "dog")),
        (["cat", "dog"], {"dog": " "}, ('"dog"', "blank")),
        (["cat", "cat"], None, ("cat",)),
        ([], None, ("class",)),
        ([f"c{k}" for k in range(255)], None, (255, 254)),
        (["cat", " dog"], None, ("' dog'", "blanks")),
        (["cat", ""], None, ("''",)),
        (["cat|dog"], None, ("cat|dog", '"|"')),
        (["background", "cat"], None, ("background", 0)),
    ],
)
def test_bad_names_are_refused(names: list[str], aliases: dict[str, str] | None, named: Sequence[object]) -> None:
    assert_mentions(refusal(lambda: catalogue_from_names(names, aliases), ConfigError), *named)
