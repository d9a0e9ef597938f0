"""Pickled label files: read without running what a pickle asks for."""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from matching import assert_mentions, refusal
from semples.data import restricted_npy
from semples.data.restricted_npy import read_class_labels


def saved(path: Path, content: Any, protocol: int = 4) -> Path:
    """Write what numpy.save writes for a dict, with a pickle protocol of choice."""
    array = np.empty((), dtype=object)
    array[()] = content
    return npy(path, pickle.dumps(array, protocol=protocol))


def npy(path: Path, data: bytes) -> Path:
    """Put a pickle behind the header of an object array."""
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data)
    return path


def assert_refused(path: Path, *named: object) -> None:
    text = refusal(lambda: read_class_labels(path))
    assert text.startswith(str(path))
    assert_mentions(text, path, *named)


def test_what_numpy_saves_is_read(tmp_path: Path) -> None:
    given = {"2007_000032": np.array([1, 0, 1], np.float32), "b": np.array([0, 1, 0], np.float32)}
    np.save(tmp_path / "a.npy", given, allow_pickle=True)  # type: ignore[arg-type]
    labels = read_class_labels(tmp_path / "a.npy")
    assert list(labels) == list(given)
    for image, vector in labels.items():
        assert vector.dtype == np.float32
        np.testing.assert_array_equal(vector, given[image])


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize("dtype", ["?", "i1", "<i8", ">i4", "u2", "f2", ">f4", "f8"])
def test_every_protocol_and_number_type(tmp_path: Path, protocol: int, dtype: str) -> None:
    vector = np.array([0, 1, 1, 0, 1]).astype(dtype)
    labels = read_class_labels(saved(tmp_path / "a.npy", {"a": vector}, protocol))
    assert labels["a"].dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(labels["a"], [0, 1, 1, 0, 1])


def test_shape_and_order_are_kept(tmp_path: Path) -> None:
    rows: npt.NDArray[np.int64] = np.arange(6).reshape(2, 3)
    labels = read_class_labels(saved(tmp_path / "a.npy", {"c": rows, "fortran": np.asfortranarray(rows)}))
    np.testing.assert_array_equal(labels["c"], rows)
    np.testing.assert_array_equal(labels["fortran"], rows)


def test_integer_ids_come_as_text(tmp_path: Path) -> None:
    vector = np.ones(2)
    labels = read_class_labels(saved(tmp_path / "a.npy", {2007000032: vector, np.int32(2007000039): vector}))
    assert list(labels) == ["2007000032", "2007000039"]


def test_module_names_of_both_numpy_generations(tmp_path: Path) -> None:
    array = np.empty((), dtype=object)
    array[()] = {"a": np.ones(2)}
    data = pickle.dumps(array, protocol=2).replace(b"numpy._core", b"numpy.core")
    assert read_class_labels(npy(tmp_path / "old.npy", data))["a"].tolist() == [1, 1]
    data = data.replace(b"numpy.core", b"numpy._core")
    assert read_class_labels(npy(tmp_path / "new.npy", data))["a"].tolist() == [1, 1]


class Malicious:
    """Pickles as a call of ``os.system``."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def test_nothing_of_a_malicious_pickle_runs(tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    path = saved(tmp_path / "a.npy", {"a": Malicious(f"touch {proof}")})
    assert_refused(path, f"{os.name}.system")
    assert not proof.exists()
    # The file is a real threat: numpy's own reader runs it.
    np.load(path, allow_pickle=True)
    assert proof.exists()


@pytest.mark.parametrize(
    "name",
    ["builtins.eval", "builtins.getattr", "numpy.load", "numpy.core.multiarray.fromfile", "semples.files.read_json"],
)
def test_only_the_parts_of_arrays_are_found(tmp_path: Path, name: str) -> None:
    module, _, function = name.rpartition(".")
    data = f"c{module}\n{function}\n(Vargument\ntR.".encode()
    assert_refused(npy(tmp_path / "a.npy", data), name)


def test_stand_ins_cannot_be_changed_by_a_pickle(tmp_path: Path) -> None:
    # BUILD on the class itself, with attributes to set on it.
    before = dict(vars(restricted_npy._Array))
    assert_refused(npy(tmp_path / "a.npy", b"cnumpy\nndarray\n(N(dVstate\nVhijacked\nstb."))
    assert dict(vars(restricted_npy._Array)) == before


def test_arrays_of_objects_are_not_built(tmp_path: Path) -> None:
    # With a forged type, numpy itself would take bytes of the file for pointers.
    assert_refused(saved(tmp_path / "a.npy", {"a": np.array([None])}), "O8", "numbers")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (["a"], ("dict",)),
        ({"a": [1, 0]}, ("value", "list", "array")),
        ({"a": np.float32(1)}, ("value", "Scalar", "array")),
        ({(1, 2): np.ones(2)}, ("key", "tuple", "image id")),
        ({"a": np.array(["x"])}, ("U1", "numbers")),
        ({"a": np.ones(2, dtype=[("x", "f4")])}, ("numbers",)),
        ({"a": {1, 2}}, ("value", "set")),
    ],
)
def test_other_content_is_refused(tmp_path: Path, content: Any, named: Sequence[object]) -> None:
    assert_refused(saved(tmp_path / "a.npy", content), *named, "tags.csv")


def test_array_of_numbers_has_no_ids(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((3, 20)))
    assert_refused(tmp_path / "a.npy", "float64")


@pytest.mark.parametrize("content", [b"", b"image,tags\n", b"\x93NUMPY\x01\x00", pickle.dumps({"a": 1})])
def test_files_that_are_no_npy(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    assert_refused(tmp_path / "a.npy", "tags.csv")


def test_a_nested_malicious_pickle_runs_nothing(tmp_path: Path) -> None:
    """Deep inside a value, as a key, and inside an array of objects."""
    proof = tmp_path / "proof"
    bomb = Malicious(f"touch {proof}")
    objects = np.empty(1, dtype=object)
    objects[0] = bomb
    for content in ({"a": {"b": [bomb]}}, {bomb: np.ones(2)}, {"a": objects}, {"a": np.ones(2), "b": (bomb,)}):
        assert_refused(saved(tmp_path / "a.npy", content), f"{os.name}.system")
    assert not proof.exists()


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npy", {"a": np.ones(3, np.float32)})
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        assert_refused(path)


def test_array_that_claims_more_than_it_holds(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npy", {"a": np.ones(3, np.float32)}, protocol=2)
    path.write_bytes(path.read_bytes().replace(b"K\x03\x85", b"K\xc8\x85"))
    assert_refused(path, "size 3")


def test_memo_bomb_is_stopped_before_it_fills_the_memory(tmp_path: Path) -> None:
    data = b"\x80\x04}r\xff\xff\xff\xff."
    assert_refused(npy(tmp_path / "a.npy", data), "damaged")


def test_large_files_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.npy", {"a": np.ones(200_000)})
    monkeypatch.setattr(restricted_npy, "_MAX_BYTES", 2**20)
    assert_refused(path, "1 MiB")


def test_missing_file(tmp_path: Path) -> None:
    assert_refused(tmp_path / "none.npy", "No such file or directory")


def test_real_labels_equal_those_of_numpy(shared_data: Path) -> None:
    path = shared_data / "data/voc2012-animals/cls_labels.npy"
    labels = read_class_labels(path)
    expected = np.load(path, allow_pickle=True).item()
    assert list(labels) == list(expected)
    for image, vector in labels.items():
        assert vector.dtype == expected[image].dtype
        np.testing.assert_array_equal(vector, expected[image])
