"""Opening a run: what the settings of the data set reach."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from semples.config.loading import load_config
from semples.data.validation import BadImages
from semples.records import ClassCatalogue, Dataset, Sample
from semples.rundir.layout import RunDirectory
from semples.runtime.setup import read_dataset

READER = """
from pathlib import Path
from semples.records import ClassCatalogue, Dataset, Sample

def read(root):
    samples = [Sample(path.stem, path, (4, 6), (0,)) for path in sorted(Path(root).glob("*.png"))]
    return Dataset(ClassCatalogue(("cat",), ("cat",)), tuple(samples), ())
"""


def test_bad_images_of_an_own_reader_are_left_out_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "reader_with_bad_images.py").write_text(READER)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("a", "b"):
        Image.new("RGB", (6, 4)).save(tmp_path / f"{name}.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:40])
    config = load_config(overrides={"data.reader": "reader_with_bad_images.read", "data.root": str(tmp_path)})
    bad = BadImages()
    cat = Sample("a", tmp_path / "a.png", (4, 6), (0,))
    assert read_dataset(config, RunDirectory(tmp_path), bad.size_of) == Dataset(
        ClassCatalogue(("cat",), ("cat",)), (cat,), ()
    )
    assert list(bad.reasons) == [tmp_path / "b.png"]
