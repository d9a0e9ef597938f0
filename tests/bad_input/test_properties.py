"""Whatever bytes, settings and names come, the answer is a result or an error in one line that names its place."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from semples.config import Config
from semples.config.loading import load_config
from semples.config.resolver import setting_keys
from semples.data.coco_table import read_table
from semples.data.images import image_size, read_image, read_mask
from semples.data.restricted_npy import read_class_labels
from semples.data.tags import read_tags_csv, relative_name
from semples.errors import ConfigError, DataError
from semples.rundir.dataset import read_dataset

from .files import encoded

pytest.importorskip("hypothesis", reason="property tests need hypothesis: pip install -e '.[dev]'")
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SHORT, LONG = 10, 1000
"""Examples of each property in `make test` and in `make test-slow`."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.text(max_size=12) | st.sampled_from(("../a", "/a", "a/../../b", "C:\\a", "a\0", ".", "..", "a/./b"))


def _tried(call: Callable[[], Any]) -> tuple[Any, str]:
    """What a call returns, or the text of the error by which it refuses; any other exception is a fault."""
    try:
        return call(), ""
    except (DataError, ConfigError) as error:
        return None, str(error)


def _written(content: bytes, read: Callable[[Path], Any]) -> Any:
    """Write bytes into a file and read them; None where that is refused by the file's name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "given"
        path.write_bytes(content)
        found, refusal = _tried(lambda: read(path))
        assert not refusal or str(path) in refusal
        return found


def _cut_image(given: tuple[str, float]) -> None:
    """An image that is cut anywhere is refused, or nothing of its pixels was lost."""
    name, share = given
    content = encoded(name)
    found = _written(content[: int(len(content) * share)], read_image)
    whole = _written(content, read_image)
    assert found is None or np.array_equal(found, whole)


def _changed_image(given: tuple[str, list[tuple[float, int]]]) -> None:
    """An image with changed bytes is refused, or has the size that its header says."""
    name, changes = given
    content = bytearray(encoded(name))
    for place, value in changes:
        content[int(place * (len(content) - 1))] = value
    found = _written(bytes(content), read_image)
    assert found is None or (found.dtype == np.uint8 and found.ndim == 3 and found.shape[2] == 3)
    if found is not None:
        assert _written(bytes(content), image_size) == found.shape[:2]


def _any_bytes(content: bytes) -> None:
    """No reader falls over bytes that are no file of its kind."""
    for read in (read_image, image_size, read_tags_csv, read_class_labels, read_table, read_dataset):
        _written(content, read)
    _written(content, lambda path: read_mask(path, None, 2))


def _any_table(rows: list[list[str]]) -> None:
    """Names that a table of tags gives stay in its folder."""
    text = "image,tags\n" + "".join(",".join(row) + "\n" for row in rows)
    for name in _written(text.encode("utf-8", errors="replace"), read_tags_csv) or ():
        assert not name.startswith("/")
        assert ".." not in name.split("/")


def _any_name(name: str) -> None:
    """A name from a user's file is refused, or stays in its folder."""
    found, refusal = _tried(lambda: relative_name(name, "tags.csv:2"))
    assert not refusal or refusal.startswith("tags.csv:2: ")
    assert found is None or not (found.startswith("/") or ".." in found.split("/"))


def _any_settings(values: dict[str, Any]) -> None:
    """Settings are taken, or refused by the name of one of them."""
    found, refusal = _tried(lambda: load_config(overrides=values))
    assert isinstance(found, Config) or any(key in refusal for key in values)


def _any_yaml(value: Any) -> None:
    """A file of settings is taken, or refused by its name or by that of a setting."""

    def read(path: Path) -> Any:
        found, refusal = _tried(lambda: load_config(path))
        assert found or str(path) in refusal or any(key in refusal for key in setting_keys())
        return found

    _written(yaml.safe_dump(value, allow_unicode=True).encode("utf-8", errors="replace"), read)


def _any_index(value: Any) -> None:
    """Ids that dataset.json gives name files inside a folder."""
    dataset = _written(json.dumps(value).encode(), read_dataset)
    for sample in dataset.train if dataset else ():
        assert (Path("/run") / f"{sample.id}.png").resolve().is_relative_to("/run")


IMAGES = {"id": NAMES, "path": SCALARS, "height": SCALARS, "width": SCALARS, "tags": st.just([0]) | VALUES}
PLAIN = {**IMAGES, "path": st.just("a.png"), "height": st.just(2), "width": st.just(2), "tags": st.just([0])}
ENTRIES = st.lists(st.fixed_dictionaries(PLAIN) | st.fixed_dictionaries(IMAGES), max_size=3)
PROPERTIES: dict[Callable[[Any], None], st.SearchStrategy[Any]] = {
    _cut_image: st.tuples(st.sampled_from(FORMATS), st.floats(0, 1)),
    _changed_image: st.tuples(
        st.sampled_from(FORMATS), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4)
    ),
    _any_bytes: st.binary(max_size=300),
    _any_table: st.lists(st.lists(NAMES, max_size=3), max_size=3),
    _any_name: NAMES,
    _any_settings: st.dictionaries(st.sampled_from(setting_keys()), VALUES, min_size=1, max_size=3),
    _any_yaml: VALUES | st.dictionaries(st.sampled_from(("data", "seed", "cams", "environment")), VALUES),
    _any_index: VALUES | st.fixed_dictionaries({"classes": st.just(["boat"]), "train": ENTRIES}),
}


def _hold(check: Callable[[Any], None], examples: int) -> None:
    """Try a property on examples that are the same in every run."""

    @settings(  # type: ignore[untyped-decorator, unused-ignore]
        max_examples=examples, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(PROPERTIES[check])  # type: ignore[untyped-decorator, unused-ignore]
    def tried(value: Any) -> None:
        check(value)

    tried()


@pytest.mark.parametrize("check", PROPERTIES, ids=lambda check: check.__name__.strip("_"))
def test_it_holds(check: Callable[[Any], None]) -> None:
    _hold(check, SHORT)


@pytest.mark.slow
@pytest.mark.parametrize("check", PROPERTIES, ids=lambda check: check.__name__.strip("_"))
def test_it_holds_for_many(check: Callable[[Any], None]) -> None:
    _hold(check, LONG)
