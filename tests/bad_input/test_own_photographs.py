"""Mistakes of users, through the command line: exit status 2, one line with file and fix, nothing half-written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from matching import assert_mentions
from semples.data.images import read_image

from .case import OUT, run
from .files import photos, run_of

pytestmark = pytest.mark.whole


def replace_in_tags(old: str, new: str) -> Callable[[Path], None]:
    def act(root: Path) -> None:
        path = root / "tags.csv"
        path.write_text(path.read_text().replace(old, new))

    return act


def remove_all(root: Path) -> None:
    root.rename(root.with_name("elsewhere"))


def truncate(root: Path) -> None:
    data = (root / "2.png").read_bytes()
    (root / "2.png").write_bytes(data[: len(data) // 2])


def empty_file(root: Path) -> None:
    (root / "1.png").write_bytes(b"")


def shrink_mask(root: Path) -> None:
    for path in (root / "masks").iterdir():
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(path)


def run_in(folder: Path, *more: str) -> tuple[int, list[str]]:
    return run(run_of(folder, folder / "photos", "--guidance.enabled", "false", *more), folder)


@pytest.mark.parametrize(
    ("spoil", "more", "named"),
    [
        (None, ("--data.rot", "x"), ("--data.rot", "root")),
        (None, ("--data.bias", "many"), ("--data.bias", "many")),
        (remove_all, (), ("photos",)),
        (replace_in_tags("boat", "bota"), (), ("tags.csv", "0.png", "bota", "boat")),
        (replace_in_tags("2.png,boat", "2.png,"), (), ("tags.csv", "2.png")),
        (replace_in_tags("3.png", "9.png"), (), ("tags.csv", "9.png")),
        (replace_in_tags("3.png", "../3.png"), (), ("tags.csv", 5, "../3.png")),
        (empty_file, (), ("1.png", "empty")),
        (None, ("--mask_generator.backbone", "/no/such/folder"), ("/no/such/folder",)),
    ],
)
def test_one_line_and_nothing_written(
    spoil: Callable[[Path], None] | None,
    more: tuple[str, ...],
    named: Sequence[object],
    tmp_path: Path,
) -> None:
    root = photos(tmp_path)
    if spoil is not None:
        spoil(root)
    status, (line,) = run_in(tmp_path, *more)
    assert status == 2
    assert line.startswith("semples: error: ")
    assert_mentions(line, *named)
    assert not (tmp_path / OUT / "0-classify").exists()


@pytest.mark.parametrize(
    ("spoil", "named", "left"),
    [(truncate, ("2.png", "damaged"), "config.yaml"), (shrink_mask, ("8 x 8", "40 x 48"), "4-pseudo-masks")],
)
def test_what_only_decoding_finds(
    spoil: Callable[[Path], None],
    named: Sequence[object],
    left: str,
    tmp_path: Path,
) -> None:
    root = photos(tmp_path)
    spoil(root)
    status, lines = run_in(tmp_path)
    assert status == 2
    assert lines[-1].startswith("semples: error: ")
    assert_mentions(lines[-1], *named)
    assert (tmp_path / OUT / left).exists()
    assert not (tmp_path / OUT / "evaluation.json").exists()


def test_an_error_in_a_worker_is_the_same_line(tmp_path: Path) -> None:
    truncate(photos(tmp_path))
    (status, lines), other = (run_in(tmp_path, "--data.workers", count) for count in ("0", "1"))
    assert status == 2
    assert lines[-1].startswith("semples: error: ")
    assert "2.png" in lines[-1]
    assert other == (status, lines)


def test_photographs_of_every_kind_go_through(tmp_path: Path) -> None:
    """Grey, palette, CMYK, alpha, 16 bit and EXIF-rotated images beside each other."""
    root = photos(tmp_path)
    grey = np.linspace(0, 255, 40 * 48).reshape(40, 48)
    Image.fromarray(grey.astype(np.uint8)).save(root / "grey.png")
    Image.fromarray(grey.astype(np.uint8)).convert("P").save(root / "palette.png")
    Image.new("CMYK", (48, 40), (0, 200, 0, 0)).save(root / "cmyk.jpg")
    Image.new("RGBA", (48, 40), (200, 0, 0, 90)).save(root / "alpha.png")
    Image.fromarray((grey * 257).astype(np.uint16)).save(root / "deep.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (48, 40), (0, 90, 0)).save(root / "turned.jpg", exif=exif)
    with (root / "tags.csv").open("a") as tags:
        for name in ("grey.png", "palette.png", "cmyk.jpg", "alpha.png", "deep.png", "turned.jpg"):
            tags.write(f"{name},boat\n")
    assert read_image(root / "turned.jpg").shape == (48, 40, 3)
    assert run_in(tmp_path) == (0, [])
    masks = {path.stem: Image.open(path).size for path in (tmp_path / OUT / "4-pseudo-masks").glob("*.png")}
    assert len(masks) == 10
    assert masks["turned"] == (40, 48)
