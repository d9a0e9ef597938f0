"""The yardstick for prompts on photographs: nouns of place in captions, and the classes they belong to."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest

from conftest import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "tools"))

import context_nouns
from caption_nouns import WordUse, class_phrases, count_uses, object_words, place_nouns
from context_nouns import Counts, count_nouns, find_contexts, join_plurals, lower_bounds
from photo_data import read_captions

CAPTIONS = (
    "A black dog runs in the green grass.",
    "Two dogs on the grass, its mouth open",
    "A man wearing a red hat walks on the street",
    "The hat of a man",
)


class TestWordUse:
    @pytest.fixture(scope="class")
    def uses(self) -> dict[str, WordUse]:
        return count_uses(CAPTIONS)

    def test_a_noun_of_place_ends_phrases_behind_prepositions_of_place(self, uses: dict[str, WordUse]) -> None:
        # "in the green grass." ends a phrase, but only "the grass," is directly behind a determiner.
        assert uses["grass"] == WordUse(captions=2, total=2, behind=1, heads=1, phrases=2, placed=2, determined=1)
        assert uses["grass"].names_a_place()

    def test_an_adjective_does_not_end_its_phrase(self, uses: dict[str, WordUse]) -> None:
        assert uses["green"] == WordUse(captions=1, total=1, behind=1, determined=1)
        assert not uses["green"].names_a_place()

    def test_a_verb_is_not_behind_a_determiner(self, uses: dict[str, WordUse]) -> None:
        # "A black dog runs" reads as a phrase of four words whose head would be "runs".
        assert uses["runs"] == WordUse(captions=1, total=1, phrases=1)
        assert not uses["runs"].names_a_place()

    def test_what_is_owned_or_worn_belongs_to_the_object(self, uses: dict[str, WordUse]) -> None:
        assert uses["mouth"] == WordUse(captions=1, total=1, behind=1, determined=1, possessed=1)
        # Neither ends a phrase: "hat walks", "hat of".
        assert uses["hat"] == WordUse(captions=2, total=2, behind=1, determined=1, worn=1)

    def test_a_word_directly_behind_a_preposition_is_placed_by_it(self) -> None:
        assert count_uses(["sheep in snow"])["snow"].placed == 1
        assert count_uses(["sheep of snow"])["snow"].placed == 0

    def test_punctuation_ends_a_phrase(self) -> None:
        assert count_uses(["in a field, running"])["field"].heads == 1
        assert count_uses(["in a field running"])["field"].heads == 0

    def test_the_shares_decide(self) -> None:
        place = {"captions": 20, "total": 20, "behind": 10, "heads": 8, "phrases": 10, "placed": 5, "determined": 10}
        assert WordUse(**place).names_a_place()
        for change in ({"behind": 3}, {"heads": 2}, {"placed": 2}, {"possessed": 3}, {"worn": 1}):
            assert not WordUse(**{**place, **change}).names_a_place(), change
        assert not WordUse().names_a_place()


def test_objects_and_rare_nouns_are_not_in_the_vocabulary() -> None:
    captions = ["on the sofa", "on the street", "on the street", "on a bed", "on a bed", "in the air", "in a van"]
    assert place_nouns(captions, least=1) == ["bed", "street"]
    assert place_nouns([*captions, "by the street"], least=3) == ["street"]
    assert {"sofa", "couch", "puppies", "umbrella", "vans"} <= object_words()
    assert not {"bed", "bench", "table"} & object_words()


def test_phrases_of_a_class_have_synonyms_kinds_and_plurals() -> None:
    assert {"cow", "cows", "cattle", "calf", "calves", "bull"} <= class_phrases("cow")
    assert {"player", "man", "men", "people", "skiers"} <= class_phrases("person")
    with pytest.raises(ValueError, match='class "griffin"'):
        class_phrases("griffin")


PHOTOS = (
    ("a cat on a bed", "kittens lie on beds", "a cat"),
    ("a cat", "an animal in a room", "nothing"),
    ("two cats", "cat on the grass", "cat"),
    ("sheep on grass", "a lamb eats grass", "sheep by a fence"),
)
"""The second shows no class: only one caption names it."""


def test_photographs_are_counted_by_hand() -> None:
    counts = count_nouns(PHOTOS, ("cat", "sheep"), [["bed", "beds"], ["grass"], ["room"]])
    assert counts == Counts(photos=4, mentions=[1, 2, 1], shown=[2, 1], joint=[[1, 1, 0], [0, 1, 0]])


def test_bounds_by_hand() -> None:
    # With 10 average photographs: cat (5 + 10 * 0.1) / 20 = 0.3, sheep (1 + 1) / 40 = 0.05.
    one = Counts(photos=100, mentions=[10], shown=[10, 30], joint=[[5], [1]])
    assert one.share(0, 0) == pytest.approx((0.3, 0.3 * 0.7 / 20))
    assert one.share(1, 0) == pytest.approx((0.05, 0.05 * 0.95 / 40))
    error = math.sqrt(0.7 / 0.3 / 20 + 0.95 / 0.05 / 40)
    assert lower_bounds([one], 0) == pytest.approx([math.log(6) - error, -math.log(6) - error])


def test_sources_weigh_the_same_whatever_their_size() -> None:
    # Shares of 0.3 and 0.1 in the first source, 0.1 and 0.1 in the second: means of 0.2 and 0.1.
    small = Counts(photos=100, mentions=[10], shown=[10, 10], joint=[[5], [1]])
    large = Counts(photos=10_000, mentions=[1_000], shown=[990, 990], joint=[[99], [99]])
    first, second = lower_bounds([small, large], 0)
    variances = [(0.3 * 0.7 / 20 + 0.1 * 0.9 / 1000) / 4, (0.1 * 0.9 / 20 + 0.1 * 0.9 / 1000) / 4]
    error = math.sqrt(variances[0] / 0.2**2 + variances[1] / 0.1**2)
    assert (first, second) == pytest.approx((math.log(2) - error, -math.log(2) - error))


def test_contexts_are_said_more_with_their_class() -> None:
    cats = [("a cat on a bed", "a cat on grass")] * 8 + [("a cat", "a cat")] * 8
    sheep = [("sheep on grass", "sheep")] * 8 + [("sheep", "sheep in a barn")] * 2
    vocabulary = ["grass", "beds", "bed", "barn"]
    contexts = find_contexts([cats + sheep], vocabulary, ("cat", "sheep"), least=3)
    assert contexts == {"cat": ["bed", "beds"], "sheep": ["grass"]}
    assert find_contexts([cats + sheep], vocabulary, ("cat", "sheep"), least=2)["sheep"] == ["barn", "grass"]


def test_a_plural_joins_its_singular_where_both_are_known() -> None:
    assert join_plurals(["fields", "grass", "field", "leaves"]) == [["grass"], ["field", "fields"], ["leaves"]]


def test_captions_are_read_from_csv_and_json(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('image,caption\n1.jpg,"A cat, asleep ."\n1.jpg,A bed .\n', encoding="utf-8")
    assert read_captions(tmp_path / "a.csv") == {"1.jpg": ["A cat, asleep .", "A bed ."]}
    annotations = [{"image_id": 7, "id": 1, "caption": "A dog."}, {"image_id": 7, "id": 2, "caption": "Grass."}]
    (tmp_path / "b.json").write_text(json.dumps({"annotations": annotations}), encoding="utf-8")
    assert read_captions(tmp_path / "b.json") == {"7": ["A dog.", "Grass."]}


def test_the_script_writes_lists_without_machine_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"{photo}.jpg,{text}" for photo, texts in enumerate(PHOTOS) for text in texts]
    (tmp_path / "a.csv").write_text("\n".join(["image,caption", *lines]), encoding="utf-8")
    words = ["--captions", tmp_path / "a.csv", "--out", tmp_path / "out.json", "--classes", "cat,sheep"]
    monkeypatch.setattr(sys, "argv", ["context_nouns.py", *map(str, words), "--least-captions", "1"])
    context_nouns.main()
    text = (tmp_path / "out.json").read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    written = json.loads(text)
    assert list(written) == ["vocabulary", "contexts", "sources", "command"]
    # "Fence", "bed", "beds" and "room" end phrases of place; "grass" does in two of three captions.
    assert written["vocabulary"] == ["grass", "bed", "beds", "fence", "room"]
    assert (written["sources"][0]["photographs"], written["sources"][0]["captions"]) == (4, 12)


class TestCommittedLists:
    @pytest.fixture(scope="class")
    def written(self) -> dict[str, dict[str, list[str]]]:
        loaded: dict[str, dict[str, list[str]]] = json.loads(
            (REPOSITORY / "benchmarks" / "context_nouns.json").read_text(encoding="utf-8")
        )
        return loaded

    def test_contexts_are_in_the_vocabulary_and_name_no_object(self, written: dict[str, dict[str, list[str]]]) -> None:
        vocabulary = set(written["vocabulary"])
        assert not vocabulary & object_words()
        assert all(vocabulary.issuperset(nouns) for nouns in written["contexts"].values())

    @pytest.mark.parametrize(
        ("name", "nouns"),
        [
            ("cat", {"bed", "floor", "carpet", "blanket", "window"}),
            ("cow", {"pasture", "grass", "field"}),
            ("horse", {"fence", "trail"}),
            ("person", {"street", "beach"}),
            ("sheep", {"field", "grass", "hill", "fence"}),
        ],
    )
    def test_well_known_contexts_are_found(
        self, written: dict[str, dict[str, list[str]]], name: str, nouns: set[str]
    ) -> None:
        assert nouns <= set(written["contexts"][name])
