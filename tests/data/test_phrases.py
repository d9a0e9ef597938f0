"""Phrases of classes: plurals, built-in synonyms, and how they meet the user's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from matching import mentions
from semples.data.catalogues import COCO, VOC, catalogue_from_names, words_of_classes
from semples.data.folder import read_folder
from semples.data.phrases import SYNONYMS
from semples.data.plurals import plain_words, plural
from semples.data.voc import VocConfig
from semples.errors import ConfigError
from semples.records import ClassCatalogue


@pytest.mark.parametrize(
    ("one", "many"),
    [
        *(("dog", "dogs"), ("bus", "buses"), ("baby", "babies"), ("boy", "boys"), ("horse", "horses")),
        *(("glass", "glasses"), ("box", "boxes"), ("bench", "benches"), ("brush", "brushes"), ("lens", "lenses")),
        *(("person", "people"), ("man", "men"), ("woman", "women"), ("child", "children"), ("mouse", "mice")),
        *(("goose", "geese"), ("mongoose", "mongooses"), ("foot", "feet"), ("tooth", "teeth"), ("ox", "oxen")),
        *(("knife", "knives"), ("leaf", "leaves"), ("wolf", "wolves"), ("giraffe", "giraffes"), ("roof", "roofs")),
        *(("sheep", "sheep"), ("fish", "fish"), ("starfish", "starfish"), ("deer", "deer"), ("aircraft", "aircraft")),
        *(("fireman", "firemen"), ("salesperson", "salespeople"), ("human", "humans"), ("grandchild", "grandchildren")),
        *(("potato", "potatoes"), ("photo", "photos"), ("scissors", "scissors"), ("skis", "skis"), ("cars", "cars")),
        *(("traffic light", "traffic lights"), ("computer mouse", "computer mice"), ("", "")),
        *(("Boat", "Boats"), ("Person", "People"), ("TV", "TVs"), ("Leaf", "Leaves"), ("Mouse", "Mice")),
        *(("class 7", "class 7"), ("vélo", "vélo"), ("汽车", "汽车")),
    ],
)
def test_plurals(one: str, many: str) -> None:
    assert plural(one) == many


def test_names_are_taken_apart_as_init_does() -> None:
    assert [plain_words(name) for name in ("house_cat", "fire-truck", "trafficLight", "st. bernard", "Boat")] == [
        "house cat",
        "fire truck",
        "traffic light",
        "st bernard",
        "Boat",
    ]


def test_synonyms_belong_to_classes_of_voc_or_coco() -> None:
    assert set(SYNONYMS) <= {*VOC.names, *COCO.names}


@pytest.mark.parametrize("catalogue", [VOC, COCO])
def test_no_synonym_is_a_phrase_of_another_class_or_twice(catalogue: ClassCatalogue) -> None:
    phrases = [
        {name, *own, *further}
        for name, own, further in zip(catalogue.names, catalogue.phrases, catalogue.suggestions, strict=True)
    ]
    count = sum(map(len, phrases))
    assert len(set().union(*phrases)) == count
    assert catalogue.synonyms == ()


def test_the_name_itself_is_a_further_phrase_beside_another_prompt_name() -> None:
    person = VOC.names.index("person")
    assert VOC.phrases[person] == ("player",)
    assert {"person", "man", "woman"} <= set(VOC.suggestions[person])
    assert "person" not in COCO.suggestions[COCO.names.index("person")]


def test_suggestions_of_another_class_are_dropped() -> None:
    suggestions = {"person": ["man", "People", "Child"], "boat": ["ship"], "kite": ["bird"]}
    catalogue = catalogue_from_names(
        ["person", "boat", "man", "people"], {"boat": ["yacht", "child"]}, suggestions=suggestions
    )
    assert catalogue.suggestions == ((), ("ship",), (), ())


def test_several_phrases_of_the_users() -> None:
    catalogue = catalogue_from_names(["person", "tv", "cat"], {"person": ["man", "woman", "man"], "tv": "television"})
    assert catalogue.prompt_names == ("man", "television", "cat")
    assert catalogue.phrases == (("man", "woman"), ("television",), ("cat",))
    assert catalogue.suggestions == ()
    for bad in ([], ["man", " "]):
        with pytest.raises(ConfigError, match=mentions('"person"', "blank")):
            catalogue_from_names(["person"], {"person": bad})


def test_voc_has_no_suggestions_where_the_user_names_phrases(shared_data: Path) -> None:
    root = str(shared_data / "data/voc2012-animals")
    config = VocConfig(reader="voc", root=root, prompt_names={"dog": "dog", "cat": ["cat", "tiger"]})
    catalogue = config.read(Path(), 0, lambda _: (8, 8)).catalogue
    pairs = zip(catalogue.phrases, catalogue.suggestions, strict=True)
    found = dict(zip(VOC.names, pairs, strict=True))
    assert found["dog"] == (("dog",), ())
    assert found["cat"] == (("cat", "tiger"), ())
    assert found["horse"] == (("horse",), ("pony", "foal"))


def test_a_folder_suggests_synonyms_and_plurals(tmp_path: Path) -> None:
    for name in ("house_cat", "sheep", "person", "people", "dog"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name / f"{name}.png")
    catalogue = read_folder(tmp_path, prompt_names={"dog": "puppy"}).catalogue
    assert dict(zip(catalogue.names, catalogue.suggestions, strict=True)) == {
        "dog": (),
        "house_cat": ("house cats",),
        "people": (),
        "person": ("man", "woman", "boy", "girl", "child"),  # people is a class of its own
        "sheep": ("lamb",),
    }


def test_words_of_classes() -> None:
    words = {"cat": ["sofa", "grass"], "boat": "water", "dog": ["grass"]}
    assert words_of_classes("data.background_words", words, ["boat", "cat", "dog"]) == ["water", "sofa", "grass"]
    with pytest.raises(ConfigError, match=mentions("data.background_words", '"bot"', "boat", "did you mean", "boat")):
        words_of_classes("data.background_words", {"bot": ["water"]}, ["boat", "cat"])
    with pytest.raises(ConfigError, match=mentions("data.background_words.boat", "blank")):
        words_of_classes("data.background_words", {"boat": ["water", ""]}, ["boat"])
