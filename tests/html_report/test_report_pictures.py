from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_run import HOSTILE, SIZE, decode, make_run, put_cams, put_json, put_mask, report, viewer_data
from PIL import Image
from safetensors.numpy import save_file

from matching import assert_mentions
from semples.data.overlays import heat_overlay
from semples.data.subsets import evenly_spaced
from semples.html_report import gallery, pictures, quality
from semples.html_report.collect import collect
from semples.records import Sample


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path)


def image(run: Path, alt: str) -> dict[str, str | None]:
    return next(image for image in report(run).attributes("img") if image["alt"] == alt)


def test_heat_overlay_by_hand() -> None:
    photograph = np.full((1, 2, 3), 100, dtype=np.uint8)
    # The gray is 0.8 * 100. A cold pixel takes 0.2 of (0, 0, 4), a hot one 0.85 of (252, 255, 164).
    heat = np.array([[0, 255]], dtype=np.uint8)
    expected = [[64, 64, 65], [226, 229, 151]]
    assert heat_overlay(photograph, heat)[0].tolist() == expected


@pytest.mark.parametrize(
    ("size", "stored", "maps", "pixelated"),
    [
        ((375, 500), (320, 240), (160, 120), False),
        ((1000, 10), (3, 320), (2, 160), False),
        ((180, 200), (200, 180), (200, 180), False),  # never stored larger than it is
        ((64, 64), (64, 64), (64, 64), True),
        ((1, 2000), (320, 1), (160, 1), False),
    ],
)
def test_frames(size: tuple[int, int], stored: tuple[int, int], maps: tuple[int, int], pixelated: bool) -> None:
    frame = pictures.fit_frame(*size, 320)
    assert (frame.size, frame.maps, frame.pixelated) == (stored, maps, pixelated)


def test_real_photographs_become_small_jpegs(shared_data: Path) -> None:
    path = shared_data / "data/voc2012-animals/JPEGImages/2007_000032.jpg"
    with Image.open(path) as photograph:
        width, height = photograph.size
    frame = pictures.fit_frame(height, width, 320)
    pixels = pictures.read_photograph(path, frame)
    assert pixels is not None
    source = pictures.photograph_uri(pixels, frame)
    assert source.startswith("data:image/jpeg;base64,")
    assert len(source) < 30_000
    with Image.open(path) as photograph:
        small = np.asarray(photograph.convert("RGB").resize(frame.size), dtype=float)
    assert abs(decode(source) - small).mean() < 6  # JPEG and another filter, the same picture


def test_photographs_are_turned_upright(tmp_path: Path) -> None:
    pixels = np.zeros((8, 6, 3), dtype=np.uint8)
    pixels[:, :3] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate by 90 degrees clockwise to show": the left half becomes the top
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    upright = pictures.read_photograph(tmp_path / "turned.png", pictures.fit_frame(6, 8, 320))
    assert upright is not None
    assert upright[:3].min() == 255
    assert upright[3:].max() == 0


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_damaged_pictures_are_none_wherever_they_are_cut(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(SIZE)).save(path)
    whole = path.read_bytes()
    frame = pictures.fit_frame(*SIZE, 320)
    assert pictures.read_photograph(path, frame) is not None
    for length in range(0, len(whole) // 2, 3):
        path.write_bytes(whole[:length])
        assert pictures.read_photograph(path, frame) is None
        assert pictures.read_thumbnail_mask(path, frame) is None


def test_mask_pictures_keep_every_pixel_in_its_color_with_a_palette_of_those_that_occur() -> None:
    mask = np.array([[0, 1, 255], [20, 1, 0]], dtype=np.uint8)
    source = pictures.mask_uri(mask)
    # VOC palette: 1 is (128, 0, 0), 20 is (0, 64, 128), 255 is (224, 224, 192)
    assert decode(source).tolist() == [
        [[0, 0, 0], [128, 0, 0], [224, 224, 192]],
        [[0, 64, 128], [128, 0, 0], [0, 0, 0]],
    ]
    assert len(source) < 200


def test_map_pictures_hold_the_values_themselves(run: Path) -> None:
    found = image(run, "CAM of a for class cat")
    ramp = np.linspace(0, 255, SIZE[0] * SIZE[1]).reshape(SIZE).astype(np.uint8)
    assert (decode(found["src"])[..., 0] == ramp).all()
    assert (found["data-layer"], found["data-tag"]) == ("cam", "0")


def test_cut_takes_the_highest_map_above_the_threshold_and_the_first_of_equals() -> None:
    maps: dict[int, Any] = {
        4: np.array([[127, 128, 200, 200]], dtype=np.uint8),
        0: np.array([[0, 0, 200, 201]], dtype=np.uint8),
    }
    # 127 / 255 is below one half, 128 / 255 above
    assert quality.cut_maps(maps, 0.5, (1, 4)).tolist() == [[0, 5, 5, 1]]
    assert quality.cut_maps({}, 0.5, (1, 2)).tolist() == [[0, 0]]


def test_mean_iou_of_one_image_by_hand() -> None:
    truth = np.array([[0, 0, 1, 1, 255]], dtype=np.uint8)
    found = np.array([[0, 1, 1, 255, 2]], dtype=np.uint8)
    # A predicted 255 is background, which then has 1 of 3, as has class 1; class 2 lies on ignored pixels only.
    assert quality.mean_iou(found, truth) == pytest.approx(1 / 3)
    assert quality.mean_iou(truth, truth) == 1
    assert quality.mean_iou(found, np.full_like(truth, 255)) is None
    assert quality.changed_share(truth, found) == pytest.approx(3 / 5)


def test_viewer_is_told_score_and_change_of_each_image(run: Path) -> None:
    images = {image["id"]: image for image in viewer_data(run)["images"]}
    assert images["a"]["score"] == images["held"]["score"] == 1  # predictions equal the truth
    assert images["a"]["change"] == 0  # the CAMs of all stages are the same
    assert images["held"]["change"] is None
    put_mask(run / "6-evaluate/predictions/a.png", np.zeros(SIZE, dtype=np.uint8))
    save_file(
        {"cams": np.zeros((1, *SIZE), np.uint8), "classes": np.zeros(1, np.int64)}, run / "3-refine/cams/a.safetensors"
    )
    changed = {image["id"]: image for image in viewer_data(run)["images"]}["a"]
    # Background has 27 of 47 known pixels right (one is ignored), the class none of 20.
    assert changed["score"] == pytest.approx((27 / 47 + 0) / 2)
    # Of the 48 values of the ramp those above the threshold of evaluation.json, 0.4, were the class.
    ramp = np.linspace(0, 255, 48).astype(np.uint8)
    assert changed["change"] == pytest.approx((ramp > 0.4 * 255).mean())


def test_missing_and_damaged_pictures_leave_placeholders_and_are_named(run: Path) -> None:
    (run / "4-pseudo-masks/a.png").write_bytes(b"not a picture")
    (run / "6-evaluate/truth/a.png").unlink()
    (run / "3-refine/cams/a.safetensors").write_bytes(b"\x00" * 20)
    save_file({"cams": np.zeros((1, *SIZE), np.float32)}, run / "0-classify/cams/a.safetensors")
    page = report(run)
    labels = [attributes.get("aria-label") or "" for attributes in page.attributes("div")]
    assert [label for label in labels if label.startswith(("Pseudo mask of a:", "Ground truth of a:"))] == [
        "Pseudo mask of a: missing or damaged",
        "Ground truth of a: missing or damaged",
    ]
    # "c" has no file of CAMs in any of the three stages
    assert (
        "left out of the gallery: CAM of a, CAM + full of a, Pseudo mask of a, Ground truth of a, CAM of c and 2 more."
    ) in page.text


def test_a_lost_photograph_is_named(run: Path) -> None:
    (run.parent / "images/a.png").unlink()
    page = report(run)
    assert "Photograph a" not in [image["alt"] for image in page.attributes("img")]
    assert_mentions(page.text, "left out", run.parent / "images/a.png")


def test_a_class_beyond_the_catalogue_leaves_a_placeholder(run: Path) -> None:
    put_cams(run / "0-classify/cams/a.safetensors", [7])
    assert "CAM of a for class cat" not in [image["alt"] for image in report(run).attributes("img")]


def test_an_image_without_classes_has_no_maps_and_lacks_nothing(run: Path) -> None:
    for stage in ("0-classify", "1-match", "3-refine"):
        save_file(
            {"cams": np.zeros((0, *SIZE), np.uint8), "classes": np.zeros(0, np.int64)},
            run / f"{stage}/cams/c.safetensors",
        )
    page = report(run)
    assert "missing or damaged" not in page.text
    assert "CAM" not in {image["alt"] for image in page.attributes("img") if (image["alt"] or "").endswith(" of c")}


def test_layers_are_those_that_some_shown_image_has(run: Path) -> None:
    for path in (run / "3-refine/cams").rglob("*.safetensors"):
        path.unlink()
    found = collect(run)
    names = [layer.name for layer in gallery.available_layers(found, "train")]
    assert names == ["CAM", "CAM + match", "Pseudo mask", "Prediction", "Ground truth"]
    assert [layer.name for layer in gallery.available_layers(found, "val")] == ["Prediction", "Ground truth"]
    buttons = [button.get("data-name") for button in report(run).attributes("button") if "data-choose" in button]
    assert buttons == ["Photograph", *names]


def test_masks_after_a_refinement_step_that_is_not_the_last_can_be_looked_at(run: Path) -> None:
    put_mask(run / "4-pseudo-masks/after-pixel_adaptive/a.png", np.ones(SIZE, dtype=np.uint8))
    names = [layer.name for layer in gallery.available_layers(collect(run), "train")]
    assert names[3:5] == ["After pixel_adaptive", "Pseudo mask"]
    shown = report(run).attributes("img")
    assert [image["data-layer"] for image in shown if image["alt"] == "After pixel_adaptive of a"] == [
        "after-pixel_adaptive"
    ]


def test_prompt_maps_are_looked_at_and_count_for_nothing(run: Path) -> None:
    before = viewer_data(run)["images"][0]
    put_cams(run / "2-prompt-maps/a.safetensors", [0])
    after = viewer_data(run)["images"][0]
    assert after.pop("layers") == ["cam", "matched", "prompt", "refined", "pseudo", "prediction", "truth"]
    del before["layers"]
    assert after == before
    assert image(run, "Prompt of a for class cat")["data-layer"] == "prompt"


def test_every_picture_has_its_own_alternative_text(run: Path) -> None:
    texts = [image["alt"] for image in report(run).attributes("img")]
    # 4 photographs, CAMs of 3 stages for 3 (image, class) pairs, 3 pseudo masks, 4 predictions, 4 truths
    assert len(texts) == 4 + 3 * 3 + 3 + 4 + 4
    assert len(set(texts)) == len(texts)
    assert f"CAM + full of folder/b for class {HOSTILE}" in texts


def test_many_images_are_stored_smaller(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    dataset = json.loads((run / "dataset.json").read_text())
    for entry in (*dataset["train"], *dataset["val"]):
        Image.fromarray(noise).save(entry["path"])
        entry |= {"height": 400, "width": 400}
    put_json(run / "dataset.json", dataset)
    assert {image.frame.size for image in gallery.gallery_images(collect(run))} == {(320, 320)}
    monkeypatch.setattr(gallery, "BUDGET", 150_000)
    found = gallery.gallery_images(collect(run))
    assert {image.frame.size for image in found} == {(200, 200)}
    assert sum(image.length for image in found) <= 150_000


def test_evenly_spread_samples() -> None:
    samples = [Sample(str(index), Path("x"), (1, 1), ()) for index in range(5)]
    assert [sample.id for sample in evenly_spaced(samples, 2)] == ["0", "2"]
    assert evenly_spaced(samples, 9) == samples
    assert evenly_spaced([], 3) == []
