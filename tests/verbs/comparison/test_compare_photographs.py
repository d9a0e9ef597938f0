"""A small comparison on twelve photographs with masks: rows, sharing, seeds, page, errors."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import semples
from matching import assert_mentions, mentions
from semples.config import Config
from semples.config.loading import load_config
from semples.data.catalogues import VOC
from semples.errors import ConfigError, DataError

pytestmark = pytest.mark.whole

LEARNED = ["full", "dense-picked", "dense-mixtures", "dense-vectors", "dense-vectors-places"]
ROWS = ["classify", "match", "clip-es", "full", "dense-none", "dense-generic", *LEARNED[1:]]
ANIMALS = ("cat", "cow", "dog", "horse")
SETTINGS: dict[str, Any] = {
    "data.reader": "voc",
    "data.val_split": None,
    "data.train_split": "few",
    "mask_generator.image_size": 64,
    "cams.scales": [1.0],
    **{f"{stage}.epochs": 1 for stage in ("classify", "match", "refine")},
    "prompts.epochs": 2,
    "evaluation.classes": ["background", *ANIMALS],
    "vision_language.image_size": 64,
    "pseudo_masks.criterion": "li",
    "report.images": 1,
    "device": "cpu",
}


def write_photographs(source: Path, root: Path, count: int) -> None:
    """Write three photographs of each animal, scaled down, with their masks and tags, as a VOC folder."""
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    with (source / "tags.csv").open(newline="") as file:
        tags = {Path(row["image"]).stem: row["tags"] for row in csv.DictReader(file)}
    train = (source / "ImageSets/Segmentation/train.txt").read_text().split()
    ids = [id for animal in ANIMALS for id in [id for id in train if tags[id] == animal][: count // len(ANIMALS)]]
    for id in ids:
        with Image.open(source / f"JPEGImages/{id}.jpg") as image:
            image.resize((96, 72)).save(root / f"JPEGImages/{id}.jpg")
        with Image.open(source / f"SegmentationClassAug/{id}.png") as mask:
            small = mask.resize((96, 72), Image.Resampling.NEAREST)
            small.save(root / f"SegmentationClass/{id}.png")
    (root / "ImageSets/Segmentation/few.txt").write_text("\n".join(ids))
    (root / "words.txt").write_text("grass\nfield\nsofa\nbed\nroad\nroom\nfence\nsky\n")
    (root / "tags.csv").write_text("image,tags\n" + "".join(f"{id},{tags[id]}\n" for id in ids))


@pytest.fixture(scope="module")
def photographs(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photographs")
    write_photographs(shared_data / "data/voc2012-animals", root, 12)
    return root


def settings(root: Path, **changes: Any) -> Config:
    named = {key.replace("__", "."): value for key, value in changes.items()}
    return load_config(
        overrides={**SETTINGS, "data.root": str(root), "prompts.words": str(root / "words.txt"), **named}
    )


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compare") / "photos"


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    nouns = ["sofa", "bed", "grass", "field", "sea"]
    file = tmp_path_factory.mktemp("nouns") / "contexts.json"
    file.write_text(json.dumps({"vocabulary": nouns, "contexts": {"cat": ["sea"], "cow": nouns, "sheep": nouns}}))
    return file


@pytest.fixture(scope="module")
def compared(photographs: Path, out: Path, contexts: Path) -> dict[str, Any]:
    """Compare all default rows on one seed."""
    return semples.compare(settings(photographs), 1, out, quiet=True, contexts=contexts)


@pytest.fixture(scope="module")
def resumed(photographs: Path, out: Path, compared: dict[str, Any]) -> dict[str, Any]:
    """Compare some rows again, on a second seed too."""
    assert compared["seeds"] == [0]
    methods = ["clip-es", "dense-none", "dense-generic", "dense-picked", "dense-vectors"]
    return semples.compare(settings(photographs), 2, out, methods=methods, results=out.parent / "results", quiet=True)


def test_every_row_has_its_cams_and_masks_scored_at_both_thresholds(compared: dict[str, Any]) -> None:
    assert list(compared["methods"]) == list(compared["masks"]) == ROWS
    for kind in ("methods", "masks"):
        for metrics in compared[kind].values():
            assert metrics["miou"][0] <= metrics["oracle_miou"][0]
            assert {len(values) for values in metrics.values()} == {1}
    assert (compared["reader"], compared["images"], compared["refinement"]) == ("voc", 12, ["pixel_adaptive"])
    assert compared["classes"] == ["background", *ANIMALS]
    for scores in compared["scores"].values():
        for each in (scores[0]["cams"], scores[0]["masks"]):
            assert (each["criterion"], each["images"]) == ("li", 12)
            found = [each["iou"][name] for name in compared["classes"]]
            assert each["miou"] == pytest.approx(sum(found) / len(found))  # over evaluation.classes alone


def test_prompts_are_described_and_judged_where_they_are_learned(compared: dict[str, Any]) -> None:
    assert list(compared["nearest_words"]) == list(compared["words_right"]) == LEARNED
    for row in LEARNED:
        assert compared["nearest_words"][row][0].keys() == set(ANIMALS)
        judged = compared["judged_words"][row][0]
        assert list(judged) == ["cat", "cow"]  # no training image shows a sheep
        assert compared["words_right"][row] == [1 + (judged["cat"] == "sea")]
    assert compared["words_judged"] == 2


def test_rows_share_stages_and_count_them_once(compared: dict[str, Any], out: Path) -> None:
    run = out / "seed-0"
    dense = [run / "variants" / name for name in ("dense-generic", "dense-picked", "dense-mixtures", "dense-vectors")]
    assert len({(folder / "0-classify/mask_generator.safetensors").stat().st_ino for folder in dense}) == 1
    assert not (run / "variants/dense-none/2-prompts").exists()
    entries = [json.loads((folder / "manifest.json").read_text())["stages"] for folder in (run, *dense[:2])]
    seconds = {row: values[0] for row, values in compared["seconds"].items()}
    assert seconds["match"] == entries[0]["1-match"]["seconds"]
    assert seconds["full"] == pytest.approx(sum(entries[0][name]["seconds"] for name in ("2-prompts", "3-refine")))
    assert seconds["dense-generic"] == entries[1]["0-classify"]["seconds"]
    assert seconds["dense-picked"] == pytest.approx(
        sum(entries[2][name]["seconds"] for name in ("2-prompts", "3-refine"))
    )


def test_the_masks_of_a_row_are_the_pseudo_masks_of_its_run(
    compared: dict[str, Any], photographs: Path, out: Path
) -> None:
    run = semples.run(settings(photographs), out / "seed-0", until="pseudo-masks", quiet=True)
    evaluated = semples.evaluate(run / "4-pseudo-masks", photographs / "SegmentationClass", VOC.names)
    masks = compared["scores"]["full"][0]["masks"]
    assert masks["iou"] == pytest.approx(evaluated["iou"])


def test_a_second_seed_runs_what_is_random_alone(resumed: dict[str, Any], compared: dict[str, Any], out: Path) -> None:
    assert resumed["run_once"] == ["clip-es", "dense-none", "dense-generic", "dense-picked"]
    for kind in ("methods", "masks", "scores", "seconds"):
        for row in resumed["run_once"]:
            values = resumed[kind][row]
            first = compared[kind][row]
            if isinstance(values, dict):
                assert values == {metric: found * 2 for metric, found in first.items()}
            else:
                assert values == first * 2
    assert [folder.name for folder in (out / "seed-1/variants").iterdir()] == ["dense-vectors"]
    vectors = [out / f"seed-{seed}/variants/dense-vectors" for seed in (0, 1)]
    assert len({(run / "0-classify/mask_generator.safetensors").stat().st_ino for run in vectors}) == 1
    assert len({(run / "2-prompts/prompts.safetensors").read_bytes() for run in vectors}) == 2


def test_what_is_finished_is_not_computed_again(
    resumed: dict[str, Any], photographs: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("semples.stages.pipeline.perform", fail)
    monkeypatch.setattr("semples.verbs.comparison.scores.perform", fail)
    again = semples.compare(settings(photographs), 2, out, methods=list(resumed["methods"]), quiet=True)
    assert again == resumed


def test_the_page_has_both_tables_and_a_single_value_for_rows_that_are_run_once(
    resumed: dict[str, Any], out: Path
) -> None:
    page = out.parent / "results/photos.md"
    assert json.loads(page.with_suffix(".json").read_text()) == resumed
    assert page.with_suffix(".png").is_file()
    text = page.read_text()
    assert_mentions(text, "12 training images", "reader voc", "background, cat, cow, dog, horse", "pixel_adaptive")
    cams, masks = (
        [line for line in part.splitlines() if line.startswith(("| Dense", "| CLIP"))]
        for part in text.split("![")[0].split("Masks after")
    )
    assert len(cams) == len(masks) == 5
    for lines in (cams, masks):
        assert ["±" in line for line in lines] == [False] * 4 + [True]
    assert "Dense + picked words | " + resumed["nearest_words"]["dense-picked"][0]["cat"][0] in text


class TestRefusals:
    """Errors name what is asked for."""

    def test_images_without_masks(self, photographs: Path, tmp_path: Path) -> None:
        root = tmp_path / "unmasked"
        shutil.copytree(photographs, root)
        shutil.rmtree(root / "SegmentationClass")
        with pytest.raises(DataError, match=mentions("data.root", root, "mask")):
            semples.compare(settings(root), 1, tmp_path / "out", quiet=True)

    @pytest.mark.parametrize("given", [{"ablation": "losses"}, {"pairings": 2}], ids=str)
    def test_arguments_of_scenes(self, photographs: Path, tmp_path: Path, given: dict[str, Any]) -> None:
        with pytest.raises(ConfigError, match=mentions(*given, "voc", "scenes")):
            semples.compare(settings(photographs), 1, tmp_path, quiet=True, **given)

    def test_rows_that_the_images_do_not_allow(self, photographs: Path, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=mentions("manual", "supervised-bound", "held-out")):
            semples.compare(settings(photographs), 1, tmp_path, methods=["manual", "supervised-bound"], quiet=True)

    def test_a_yardstick_of_other_classes(self, photographs: Path, tmp_path: Path) -> None:
        (tmp_path / "nouns.json").write_text(json.dumps({"vocabulary": ["sea"], "contexts": {"caat": ["sea"]}}))
        with pytest.raises(ConfigError, match=mentions("contexts", "caat", "cat")):
            semples.compare(
                settings(photographs), 1, tmp_path, methods=["full"], quiet=True, contexts=tmp_path / "nouns.json"
            )
