"""Masks for new images: what counts as an image, batches, EXIF, and what stops the work before it begins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from matching import assert_mentions, mentions
from sample_data import write_photograph
from semples.cli import main
from semples.data.crops import to_pixels
from semples.data.images import read_image, read_mask
from semples.errors import DataError, ModelError
from semples.inference.label_maps import predict_labels
from semples.verbs.prediction import predict
from tiny_segmenters import make_segmenter


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    make_segmenter("upernet").save(folder / "5-segment" / "model")
    return folder


def test_files_folders_and_patterns(model: Path, tmp_path: Path) -> None:
    root = tmp_path / "photos"
    for name in ("b.jpg", "a.png", "deep/c.JPG", "other.png"):
        write_photograph(root / name)
    (root / "notes.txt").write_text("no image")
    out = tmp_path / "out"
    by_pattern = predict(model, [root / "*.png"], out)
    assert [path.name for path in by_pattern] == ["a.png", "other.png"]
    everywhere = predict(model, [root / "**" / "*"], out)
    assert [path.name for path in everywhere] == ["a.png", "b.png", "c.png", "other.png"]
    twice = predict(model, [root / "b.jpg", root], out)
    assert [path.name for path in twice] == ["b.png", "a.png", "c.png", "other.png"]
    assert sorted(path.name for path in out.iterdir()) == sorted(
        name for stem in ("a", "b", "c", "other") for name in (f"{stem}.png", f"{stem}-overlay.jpg")
    )


def test_patterns_relative_to_the_working_folder_and_home(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photograph(tmp_path / "photos" / "a.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for pattern in ("photos/*.jpg", "~/photos/?.jpg"):
        assert predict(model, [Path(pattern)], Path("out")) == [Path("out/a.png")]


def test_a_file_with_brackets_in_its_name_is_no_pattern(model: Path, tmp_path: Path) -> None:
    path = write_photograph(tmp_path / "a[1].jpg")
    write_photograph(tmp_path / "a1.jpg")
    assert predict(model, [path], tmp_path / "out") == [tmp_path / "out" / "a[1].png"]


def test_masks_are_those_of_each_image_alone(model: Path, tmp_path: Path) -> None:
    """Sizes mixed, so that batches are not in the order of the images; one turned by EXIF."""
    paths = [
        write_photograph(tmp_path / "1.png", seed=1),
        write_photograph(tmp_path / "2.png", (32, 32), seed=2),
        write_photograph(tmp_path / "3.png", seed=3),
        write_photograph(tmp_path / "4.jpg", seed=4, orientation=6),
    ]
    written = predict(model, paths, tmp_path / "out", overlays=False)
    network = make_segmenter("upernet")
    for path, target in zip(paths, written, strict=True):
        image = read_image(path)
        expected = predict_labels(network, to_pixels(image)[None])[0]
        mask = read_mask(target, image.shape[:2], 2)
        assert len(np.unique(expected)) > 1
        assert (mask == expected).mean() > 0.999  # a batch sums in another order
    assert read_mask(written[3], None, 2).shape == (56, 40)
    assert not list((tmp_path / "out").glob("*-overlay.jpg"))


def test_the_model_folder_itself(model: Path, tmp_path: Path) -> None:
    path = write_photograph(tmp_path / "a.jpg")
    (from_run,) = predict(model, [path], tmp_path / "1")
    (from_folder,) = predict(model / "5-segment" / "model", [path], tmp_path / "2")
    assert from_run.read_bytes() == from_folder.read_bytes()


def test_equal_names_take_folder_and_suffix(model: Path, tmp_path: Path) -> None:
    paths = [write_photograph(tmp_path / name) for name in ("x/a.jpg", "y/a.jpg", "y/b.png")]
    written = predict(model, paths, tmp_path / "out")
    assert [path.name for path in written] == ["x-a-jpg.png", "y-a-jpg.png", "y-b-png.png"]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["no.jpg"], ("no.jpg",)),
        (["*.bmp"], ("*.bmp",)),
        (["empty"], ("empty", ".bmp", ".gif", ".jpeg")),
        (["*.txt"], ("*.txt", ".bmp")),
        (["good.jpg", "broken.jpg"], ("broken.jpg", "JPEG", "PNG")),
        (["p/x/a.jpg", "q/x/a.jpg"], ("p/x/a.jpg", "q/x/a.jpg")),
        (["out/old.png"], ("out/old.png",)),
    ],
)
def test_nothing_is_written_on_bad_input(
    model: Path, tmp_path: Path, given: list[str], named: Sequence[object]
) -> None:
    for name in ("good.jpg", "p/x/a.jpg", "q/x/a.jpg", "out/old.png"):
        write_photograph(tmp_path / name)
    (tmp_path / "broken.jpg").write_text("no image")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=mentions(*named)):
        predict(model, [tmp_path / name for name in given], tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["old.png"]


def test_a_place_without_model_and_a_file_in_the_way(model: Path, tmp_path: Path) -> None:
    path = write_photograph(tmp_path / "a.jpg")
    with pytest.raises(ModelError, match=mentions(tmp_path, "5-segment/model")):
        predict(tmp_path, [path], tmp_path / "out")
    with pytest.raises(DataError, match=mentions(path, "folder")):
        predict(model, [path], path)


def test_damage_behind_the_header_is_told_in_one_line(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Smaller images come first, so that the mask of a whole image is there when the damaged one stops the work."""
    write_photograph(tmp_path / "a.jpg", (32, 32))
    path = write_photograph(tmp_path / "b.jpg", (80, 80))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert main(["predict", str(model), str(tmp_path / "*.jpg"), "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("semples: error: ")
    assert_mentions(line, path, "damaged")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a-overlay.jpg", "a.png"]
