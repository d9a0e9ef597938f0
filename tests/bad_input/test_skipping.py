"""``--skip-bad-images``: what cannot be read is left out and listed, and nothing else changes."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from matching import assert_mentions, mentions
from sample_data import write_noise, write_split, write_tags
from semples.data.coco import read_coco
from semples.data.folder import read_folder
from semples.data.validation import BadImages
from semples.data.voc import read_voc
from semples.errors import DataError
from semples.html_report import write_report

from .case import OUT, run
from .files import SEGMENTATION, encoded, photos, predict, run_of

pytestmark = pytest.mark.whole

UNGUIDED = ("--guidance.enabled", "false")
SPOKEN = ("--skip-bad-images", *UNGUIDED)


def _damaged(path: Path) -> None:
    path.write_bytes(encoded("PNG")[:2000])


def _words(folder: Path, root: Path, *more: str) -> list[str]:
    return [word for word in run_of(folder, root, *more) if word != "--quiet"]


def test_a_run_goes_on_and_lists_what_it_skipped(tmp_path: Path) -> None:
    root = photos(tmp_path)
    hostile = root / "<b>2.png"
    (root / "2.png").rename(hostile)
    (root / "masks" / "2.png").unlink()
    _damaged(hostile)
    (root / "tags.csv").write_text((root / "tags.csv").read_text().replace("2.png", "<b>2.png"))
    status, lines = run(_words(tmp_path, root, *SPOKEN), tmp_path)
    assert status == 0, lines
    (told,) = (line for line in lines if line.startswith("skipped"))
    assert_mentions(told, 1, 4, f"{OUT}/skipped.json")
    out = tmp_path / OUT
    ((entry,),) = [json.loads((out / "skipped.json").read_text())["images"]]
    assert entry["path"] == str(hostile)
    assert "damaged" in entry["reason"]
    assert sorted(path.name for path in (out / "4-pseudo-masks").glob("*.png")) == ["0.png", "1.png", "3.png"]
    html = (out / "report.html").read_text()
    assert re.search(r"\b1 image\b[^<]* left out", html)
    assert "&lt;b&gt;2.png" in html
    assert "<b>2.png" not in html

    # The bad image and its line removed, the flag is no longer needed, and no result is another.
    hostile.unlink()
    (root / "tags.csv").write_text("".join(x for x in (root / "tags.csv").open() if "<b>" not in x))
    status, lines = run(_words(tmp_path, root, *UNGUIDED), tmp_path)
    assert status == 0, lines
    assert not (out / "skipped.json").exists()
    assert [line.split() for line in lines if "skipped:" not in line] == [
        [stage, "unchanged"] for stage in ("classify", "pseudo-masks", "segment", "evaluate")
    ]


@pytest.mark.slow
def test_a_class_that_lost_all_its_images_is_warned_of(tmp_path: Path) -> None:
    root = photos(tmp_path)
    for name in ("1.png", "3.png"):
        _damaged(root / name)
    status, lines = run(_words(tmp_path, root, "--skip-bad-images"), tmp_path)
    assert status == 0, lines
    (told,) = (line for line in lines if line.startswith("skipped"))
    assert_mentions(told, 2, 4, f"{OUT}/skipped.json", "train")
    assert json.loads((tmp_path / OUT / "dataset.json").read_text())["classes"] == ["boat", "train"]
    assert re.search(r"[Nn]o training image\b[^<]* train\b", write_report(tmp_path / OUT).read_text())


def test_prediction_skips_too(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        write_noise(tmp_path / name)
    _damaged(tmp_path / "b.png")
    status, lines = run(predict(SEGMENTATION, "a.png", "b.png", more=["--skip-bad-images"]), tmp_path)
    assert (status, lines) == (0, [])
    assert sorted(path.name for path in (tmp_path / OUT).iterdir()) == ["a-overlay.jpg", "a.png", "skipped.json"]
    assert json.loads((tmp_path / OUT / "skipped.json").read_text())["images"][0]["path"] == "b.png"
    (tmp_path / "a.png").unlink()
    status, (line,) = run(predict(SEGMENTATION, "b.png", more=["--skip-bad-images"]), tmp_path)
    assert status == 2
    assert_mentions(line, "none", 1)


def test_each_image_is_read_once_and_a_bad_mask_is_not_looked_at(tmp_path: Path) -> None:
    root = photos(tmp_path)
    (root / "masks" / "0.png").write_bytes(b"")
    _damaged(root / "1.png")
    counted: list[int] = []
    bad = BadImages()
    bad.after_each = lambda: counted.append(bad.count)
    dataset = read_folder(root, val_fraction=0, size_of=bad.size_of)
    assert [sample.id for sample in dataset.train] == ["0", "2", "3"]
    assert counted == [1, 2, 3, 4]
    assert list(bad.reasons) == [root / "1.png"]


def test_a_missing_file_is_an_error_of_the_list(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=mentions("none.png")):
        BadImages().size_of(tmp_path / "none.png")


def test_voc_and_coco_leave_out_too(tmp_path: Path) -> None:
    root = tmp_path / "voc"
    (root / "JPEGImages").mkdir(parents=True)
    for name, content in (("0", encoded("JPEG")), ("1", encoded("JPEG")[:900]), ("2", b"")):
        (root / "JPEGImages" / f"{name}.jpg").write_bytes(content)
    write_tags(root, "0,cat", "1,dog", "2,cat")
    write_split(root, "train", "0\n1\n")
    write_split(root, "val", "2")
    bad = BadImages()
    dataset = read_voc(root, size_of=bad.size_of)
    assert ([sample.id for sample in dataset.train], dataset.val) == (["0"], ())
    assert [path.name for path in bad.reasons] == ["1.jpg", "2.jpg"]

    shutil.move(root / "JPEGImages", root / "images")
    table = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "height": 40, "width": 48} for i in range(3)],
        "annotations": [{"id": i, "image_id": i, "category_id": 1} for i in range(3)],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (root / "annotations").mkdir()
    (root / "annotations" / "train.json").write_text(json.dumps(table))
    bad = BadImages()
    assert [sample.id for sample in read_coco(root, size_of=bad.size_of).train] == ["0"]
    assert len(bad.reasons) == 2
