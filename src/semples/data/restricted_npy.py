"""Reads ``cls_labels.npy``, a pickled dict of other projects, without executing anything from the pickle.

A pickle is a program that may call any function. Here, the few names that numpy arrays need are replaced by inert
stand-ins that only store their arguments; any other name stops the reading. The arrays are built afterwards from the
stored bytes, for plain number types only.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from semples.errors import DataError

_MAX_BYTES = 64 * 2**20
"""Largest file that is read: 17,125 images of VOC need at most 4 MiB, 123,287 of COCO 42 MiB."""

_NUMBER_TYPES = frozenset({"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"})


def read_class_labels(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read a dict of label vectors that ``numpy.save`` wrote as a pickle.

    Returns:
        Image id -> array of numbers. An integer id (2007000032) becomes its digits.

    Raises:
        DataError: The file is missing, larger than 64 MiB, not a pickled dict of image id -> array, or asks for
            anything except numpy arrays. Nothing in it has been executed.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be opened ({error.strerror}); expected labels as numpy.save writes them"
        ) from error
    try:
        return _labels(_unpickle(_pickle_of(content)))
    except Exception as error:  # a damaged pickle may raise anything
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(
            f"{path}: {reason} (nothing in the file was executed); expected a dict of image id -> label vector "
            "as numpy.save writes it, so write the labels as tags.csv (image,tags) instead"
        ) from error


class _Inert:
    """Stores the arguments and state that a pickle passes, and does nothing with them."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Array(_Inert):
    """Replaces ``numpy.ndarray`` and the function that creates an empty one."""


class _Scalar(_Inert):
    """Replaces the function that creates a numpy number."""


class _NumberType(_Inert):
    """Replaces ``numpy.dtype``."""


class _Latin1(_Inert):
    """Replaces the function with which old pickles turn text into bytes."""


_STAND_INS: dict[tuple[str, str], type[_Inert]] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _NumberType,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.multiarray", "scalar"): _Scalar,
    ("numpy._core.multiarray", "scalar"): _Scalar,
    ("_codecs", "encode"): _Latin1,
}


class _RestrictedUnpickler(pickle.Unpickler):
    """Resolves the names in ``_STAND_INS`` to their stand-ins, and refuses all others."""

    def find_class(self, module: str, name: str) -> type[_Inert]:
        if (module, name) not in _STAND_INS:
            raise pickle.UnpicklingError(f"the file asks for {module}.{name}")
        return _STAND_INS[module, name]


def _pickle_of(content: bytes) -> bytes:
    """Return the pickle inside an .npy file's content."""
    if len(content) > _MAX_BYTES:
        raise ValueError(f"larger than {_MAX_BYTES >> 20} MiB, more than any table of image labels needs")
    file = io.BytesIO(content)
    np.lib.format.read_magic(file)
    dtype = np.lib.format.read_array_header_1_0(file)[2]  # numpy uses later versions for long headers only
    if not dtype.hasobject:
        raise ValueError(f"an array of {dtype} without image ids")
    return file.read()


def _unpickle(data: bytes) -> Any:
    """Return the tree of dicts, lists, texts, numbers and stand-ins that a pickle describes."""
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        # A memo index far beyond the number of objects so far would make the unpickler exhaust the memory.
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > count:
            raise ValueError("damaged (an object with an impossible index)")
    return _RestrictedUnpickler(io.BytesIO(data), encoding="latin1").load()


def _labels(root: Any) -> dict[str, npt.NDArray[Any]]:
    """Build the arrays of the dict inside a zero-dimensional object array."""
    *_, content = root.state if isinstance(root, _Array) and root.state else [None]
    if not isinstance(content, list) or len(content) != 1 or not isinstance(content[0], dict):
        raise ValueError("the content is not a dict")
    return {_image_id(key): _array(value) for key, value in content[0].items()}


def _image_id(key: Any) -> str:
    if isinstance(key, _Scalar):
        number_type, data = key.arguments
        key = np.frombuffer(_bytes(data), _dtype(number_type))[0].item()
    if isinstance(key, (str, int)):
        return str(key)
    raise ValueError(f"a key is of type {type(key).__name__.strip('_')}, expected an image id")


def _array(value: Any) -> npt.NDArray[Any]:
    if not isinstance(value, _Array) or value.state is None:
        raise ValueError(f"a value is of type {type(value).__name__.strip('_')}, expected an array")
    _, shape, number_type, is_fortran, data = value.state
    dtype = _dtype(number_type)
    flat = np.frombuffer(_bytes(data), dtype).astype(dtype.newbyteorder("="))
    array: npt.NDArray[Any] = flat.reshape(shape, order="F" if is_fortran else "C")
    return array


def _dtype(stand_in: Any) -> np.dtype[Any]:
    code = stand_in.arguments[0] if isinstance(stand_in, _NumberType) else type(stand_in).__name__
    if code not in _NUMBER_TYPES:
        raise ValueError(f"an array holds {code}, expected plain numbers")
    is_big_endian = stand_in.state is not None and stand_in.state[1] == ">"
    return np.dtype(f"{'>' if is_big_endian else '<'}{code}")


def _bytes(data: Any) -> bytes:
    if isinstance(data, _Latin1):
        data = data.arguments[0]
    return data.encode("latin1") if isinstance(data, str) else bytes(memoryview(data))
