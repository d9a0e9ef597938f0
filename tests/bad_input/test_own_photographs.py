"""Mistakes of users, through the command line: exit status 2, one line with file and fix, nothing half-written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from matching import assert_mentions
from semples.cli import main
from semples.data.images import read_image

pytestmark = pytest.mark.whole


def make_folder(root: Path) -> Path:
    """Four small photographs with tags and masks."""
    rng = np.random.default_rng(0)
    (root / "masks").mkdir(parents=True)
    lines = ["image,tags"]
    for index in range(4):
        Image.fromarray(rng.integers(0, 255, (40, 48, 3), dtype=np.uint8)).save(root / f"{index}.jpg")
        Image.fromarray(np.full((40, 48), index % 2, np.uint8)).save(root / "masks" / f"{index}.png")
        lines.append(f"{index}.jpg,{('boat', 'train')[index % 2]}")
    (root / "tags.csv").write_text("\n".join(lines) + "\n")
    return root


def replace_in_tags(old: str, new: str) -> Callable[[Path], None]:
    def act(root: Path) -> None:
        path = root / "tags.csv"
        path.write_text(path.read_text().replace(old, new))

    return act


def remove_all(root: Path) -> None:
    root.rename(root.with_name("elsewhere"))


def truncate(root: Path) -> None:
    data = (root / "2.jpg").read_bytes()
    (root / "2.jpg").write_bytes(data[: len(data) // 2])


def empty_file(root: Path) -> None:
    (root / "1.jpg").write_bytes(b"")


def shrink_mask(root: Path) -> None:
    for path in (root / "masks").iterdir():
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(path)


FAST = [
    *("--data.val_fraction", "0", "--data.classes", '["boat", "train"]'),
    *("--guidance.enabled", "false", "--device", "cpu", "--cams.scales", "[1.0]"),
    *("--mask_generator.image_size", "32", "--segment.image_size", "32"),
    *("--classify.epochs", "1", "--segment.epochs", "1"),
]


def run(root: Path, *more: str) -> int:
    config = root.parent / "own.yaml"
    config.write_text(f"data: {{reader: folder, root: {root}}}\n")
    return main(["run", "--config", str(config), "--out", str(root.parent / "out"), *FAST, *more, "--quiet"])


@pytest.mark.parametrize(
    ("spoil", "more", "named"),
    [
        (None, ("--data.rot", "x"), ("--data.rot", "root")),
        (None, ("--data.bias", "many"), ("--data.bias", "many")),
        (remove_all, (), ("photos",)),
        (replace_in_tags("boat", "bota"), (), ("tags.csv", "0.jpg", "bota", "boat")),
        (replace_in_tags("2.jpg,boat", "2.jpg,"), (), ("tags.csv", "2.jpg")),
        (replace_in_tags("3.jpg", "9.jpg"), (), ("tags.csv", "9.jpg")),
        (replace_in_tags("3.jpg", "../3.jpg"), (), ("tags.csv", 5, "../3.jpg")),
        (empty_file, (), ("1.jpg", "empty")),
        (None, ("--mask_generator.backbone", "/no/such/folder"), ("/no/such/folder",)),
    ],
)
def test_one_line_and_nothing_written(
    spoil: Callable[[Path], None] | None,
    more: tuple[str, ...],
    named: Sequence[object],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = make_folder(tmp_path / "photos")
    if spoil is not None:
        spoil(root)
    assert run(root, *more) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("semples: error: ")
    assert_mentions(lines[0], *named)
    assert not (tmp_path / "out" / "0-classify").exists()


@pytest.mark.parametrize(
    ("spoil", "named", "left"),
    [(truncate, ("2.jpg", "damaged"), "config.yaml"), (shrink_mask, ("8 x 8", "40 x 48"), "4-pseudo-masks")],
)
def test_what_only_decoding_finds(
    spoil: Callable[[Path], None],
    named: Sequence[object],
    left: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = make_folder(tmp_path / "photos")
    spoil(root)
    assert run(root) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("semples: error: ")
    assert_mentions(lines[-1], *named)
    assert (tmp_path / "out" / left).exists()
    assert not (tmp_path / "out" / "evaluation.json").exists()


def test_an_error_in_a_worker_is_the_same_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_folder(tmp_path / "photos")
    truncate(root)
    lines = []
    for workers in ("0", "1"):
        assert run(root, "--data.workers", workers) == 2
        lines.append(capsys.readouterr().err.strip().splitlines()[-1])
    assert lines[0].startswith("semples: error: ")
    assert "2.jpg" in lines[0]
    assert lines[1] == lines[0]


def test_photographs_of_every_kind_go_through(tmp_path: Path) -> None:
    """Grey, palette, CMYK, alpha, 16 bit and EXIF-rotated images beside each other."""
    root = make_folder(tmp_path / "photos")
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
    assert run(root) == 0
    masks = {path.stem: Image.open(path).size for path in (tmp_path / "out" / "4-pseudo-masks").glob("*.png")}
    assert len(masks) == 10
    assert masks["turned"] == (40, 48)
