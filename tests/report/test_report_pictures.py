from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fake_run import (
    HOSTILE,
    SIZE,
    decode,
    make_run,
    put_cams,
    put_json,
    report,
)
from PIL import Image
from safetensors.numpy import save_file

from semples.data.overlays import heat_overlay
from semples.report import gallery, pictures
from semples.report.collect import collect


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path)


def test_heat_overlay_by_hand() -> None:
    photograph = np.full((1, 2, 3), 100, dtype=np.uint8)
    # The grey is 0.8 * 100. A cold pixel takes 0.2 of (0, 0, 4), a hot one 0.85 of (252, 255, 164).
    heat = np.array([[0, 255]], dtype=np.uint8)
    expected = [[64, 64, 65], [226, 229, 151]]
    assert heat_overlay(photograph, heat)[0].tolist() == expected


@pytest.mark.parametrize(
    ("size", "displayed", "stored", "pixelated"),
    [
        ((375, 500), (160, 120), (240, 180), False),
        ((1000, 10), (2, 220), (3, 330), False),
        ((180, 200), (160, 144), (200, 180), False),  # never stored larger than it is
        ((64, 64), (128, 128), (128, 128), True),
        ((1, 1), (160, 160), (160, 160), True),
    ],
)
def test_frames(size: tuple[int, int], displayed: tuple[int, int], stored: tuple[int, int], pixelated: bool) -> None:
    frame = pictures.fit(*size)
    assert (frame.displayed, frame.stored, frame.pixelated) == (displayed, stored, pixelated)


def test_real_photographs_become_small_jpegs(shared_data: Path) -> None:
    path = shared_data / "data/voc2012-animals/JPEGImages/2007_000032.jpg"
    with Image.open(path) as image:
        width, height = image.size
    frame = pictures.fit(height, width)
    photograph = pictures.read_photograph(path, frame)
    assert photograph is not None
    picture = pictures.to_picture(photograph, frame)
    assert picture.source.startswith("data:image/jpeg;base64,")
    assert len(picture.source) < 20_000
    with Image.open(path) as image:
        small = np.asarray(image.convert("RGB").resize(frame.stored), dtype=float)
    assert abs(decode(picture.source) - small).mean() < 6  # JPEG and another filter, the same picture


def test_photographs_are_turned_upright(tmp_path: Path) -> None:
    pixels = np.zeros((8, 6, 3), dtype=np.uint8)
    pixels[:, :3] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate by 90 degrees clockwise to show": the left half becomes the top
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    upright = pictures.read_photograph(tmp_path / "turned.png", pictures.fit(6, 8))
    assert upright is not None
    assert upright[:60].min() == 255
    assert upright[60:].max() == 0


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_damaged_pictures_are_none_wherever_they_are_cut(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(SIZE)).save(path)
    whole = path.read_bytes()
    frame = pictures.fit(*SIZE)
    assert pictures.read_photograph(path, frame) is not None
    for length in range(0, len(whole) // 2, 3):
        path.write_bytes(whole[:length])
        assert pictures.read_photograph(path, frame) is None
        assert pictures.read_mask(path, frame) is None


def test_small_pictures_grow_by_a_whole_factor_and_stay_crisp(run: Path) -> None:
    image = next(image for image in report(run).attributes("img") if image["alt"] == "Photograph a")
    assert (image["width"], image["height"], image["class"]) == ("160", "120", "pixelated")
    pixels = decode(image["src"])
    assert pixels.shape == (120, 160, 3)
    assert (pixels == 100).all()


def test_mask_pictures_show_background_class_and_ignore(run: Path) -> None:
    image = next(image for image in report(run).attributes("img") if image["alt"] == "Pseudo mask of a")
    pixels = decode(image["src"])  # 20 x 20 pixels for each of the mask's
    assert pixels[110, 30].tolist() == [100, 100, 100]
    # 0.45 * 100 + 0.55 * (128, 0, 0); 255 is (224, 224, 192) in the VOC palette
    assert pixels[100, 140].tolist() == [115, 45, 45]
    assert pixels[10, 10].tolist() == [168, 168, 151]
    # first pixel inside the region: 0.6 * (128, 0, 0) + 0.4 * 255
    assert pixels[100, 60].tolist() == [179, 102, 102]


def test_missing_and_damaged_pictures_leave_placeholders(run: Path) -> None:
    before = report(run).text.count("missing or damaged")
    (run / "4-pseudo-masks/a.png").write_bytes(b"not a picture")
    (run / "6-evaluate/truth/a.png").unlink()
    (run / "3-refine/cams/a.safetensors").write_bytes(b"\x00" * 20)
    save_file({"cams": np.zeros((1, *SIZE), np.float32)}, run / "0-classify/cams/a.safetensors")
    assert report(run).text.count("missing or damaged") == before + 4


def test_a_lost_photograph_leaves_grey_under_its_masks(run: Path) -> None:
    (run.parent / "images/a.png").unlink()
    images = {image["alt"]: image for image in report(run).attributes("img")}
    assert "Photograph a" not in images
    assert decode(images["Pseudo mask of a"]["src"])[110, 30].tolist() == [128, 128, 128]


def test_a_class_beyond_the_catalogue_leaves_a_placeholder(run: Path) -> None:
    put_cams(run / "0-classify/cams/a.safetensors", [7])
    assert "CAM of a for class cat" not in [image["alt"] for image in report(run).attributes("img")]


def test_images_with_many_classes_fold_the_rest(run: Path) -> None:
    dataset = json.loads((run / "dataset.json").read_text())
    put_json(run / "dataset.json", {**dataset, "classes": list("ABCDE"), "prompt_names": list("ABCDE")})
    put_cams(run / "0-classify/cams/a.safetensors", [0, 1, 2, 3, 4])
    column = gallery.train_rows(collect(run))[0].columns[1]
    assert [figure.name for figure in column.figures] == ["A", "B", "C"]
    assert [figure.name for figure in column.folded] == ["D", "E"]


def test_without_refine_the_last_cam_is_that_of_match(run: Path) -> None:
    for path in (run / "3-refine/cams").rglob("*.safetensors"):
        path.unlink()
    headings = [column.heading for column in gallery.train_rows(collect(run))[0].columns]
    assert headings == ["Photograph", "CAM", "Matched CAM", "Pseudo mask", "Prediction", "Ground truth"]


def test_every_picture_has_its_own_alternative_text(run: Path) -> None:
    texts = [image["alt"] for image in report(run).attributes("img")]
    # 4 photographs, CAMs of stages 0 and 3 for 3 (image, class) pairs, 3 pseudo masks,
    # 4 predictions, 4 truths
    assert len(texts) == 4 + 2 * 3 + 3 + 4 + 4
    assert len(set(texts)) == len(texts)
    assert f"Refined CAM of folder/b for class {HOSTILE}" in texts
