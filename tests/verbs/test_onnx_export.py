"""The network as an ONNX file: the same labels as torch, whatever the size of the image."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers.models.mobilenet_v2.modeling_mobilenet_v2 import apply_tf_padding

from matching import mentions
from semples.data.crops import to_pixels
from semples.data.images import read_image
from semples.errors import ConfigError, DataError
from semples.files import write_json
from semples.models.segmentation import load_segmentation_network
from semples.verbs.onnx_export import average_windows, export_onnx, pad_same
from tiny_segmenters import make_segmenter

pytestmark = pytest.mark.whole


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 3), (6, 6), (None, 2), (5, None)])
def test_average_windows_is_adaptive_pooling(size: tuple[int | None, int | None]) -> None:
    maps = torch.randn(2, 3, 13, 7)
    torch.testing.assert_close(average_windows(maps, size), F.adaptive_avg_pool2d(maps, size))


def test_average_windows_by_hand() -> None:
    """Five cells in two windows: cells 0 to 2, and 2 to 4."""
    maps = torch.tensor([1.0, 2.0, 6.0, 4.0, 5.0]).view(1, 1, 1, 5)
    assert average_windows(maps, (1, 2)).flatten().tolist() == [3.0, 5.0]


@pytest.mark.parametrize("size", [(8, 8), (9, 8), (7, 12), (1, 5)])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(1, 1, 1), (3, 1, 1), (3, 2, 1), (3, 1, 4)])
def test_pad_same_is_that_of_transformers(size: tuple[int, int], kernel: int, stride: int, dilation: int) -> None:
    convolution = torch.nn.Conv2d(2, 2, kernel, stride, dilation=dilation)
    maps = torch.randn(1, 2, *size)
    torch.testing.assert_close(pad_same(convolution, (maps,)), apply_tf_padding(maps, convolution))


def make_run(folder: Path, kind: str, status: str = "done") -> Path:
    make_segmenter(kind).save(folder / "5-segment" / "model")
    write_json(folder / "dataset.json", {})
    write_json(folder / "manifest.json", {"stages": {"5-segment": {"status": status}}})
    return folder


def test_missing_packages_and_unfinished_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxscript", reason="ONNX is not installed: pip install 'semples[onnx]'")
    run = make_run(tmp_path, "upernet", status="running")
    with pytest.raises(DataError, match=mentions(run, "segment", "running")):
        export_onnx(run)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ConfigError, match=mentions("onnxscript", "pip install 'semples[onnx]'")):
        export_onnx(run)


@pytest.fixture(
    scope="module",
    params=["upernet", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("mobilenet_v2", "segformer"))],
)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason="ONNX is not installed: pip install 'semples[onnx]'")
    run = make_run(tmp_path_factory.mktemp("run"), request.param)
    assert export_onnx(run) == run / "export" / "onnx" / "model.onnx"
    return run


def logits_of_both(run: Path, pixels: torch.Tensor) -> tuple[Any, Any]:
    import onnxruntime

    session = onnxruntime.InferenceSession(run / "export" / "onnx" / "model.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(["logits"], {"pixels": pixels.numpy()})
    with torch.no_grad():
        return found, load_segmentation_network(run / "5-segment" / "model")(pixels).numpy()


@pytest.mark.parametrize("shape", [(1, 3, 48, 48), (2, 3, 48, 80), (1, 3, 97, 65), (3, 3, 33, 120)])
def test_same_logits_at_any_size(exported: Path, shape: tuple[int, ...]) -> None:
    found, expected = logits_of_both(exported, torch.rand(shape, generator=torch.Generator().manual_seed(0)))
    assert found.shape == (shape[0], 3, *shape[2:])
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_same_labels_on_photographs(exported: Path, shared_data: Path) -> None:
    """Where the two best logits are further apart than rounding, every label is the same."""
    paths = sorted((shared_data / "data" / "voc2012-animals" / "JPEGImages").glob("*.jpg"))[:4]
    assert paths
    for path in paths:
        found, expected = logits_of_both(exported, to_pixels(read_image(path))[None])
        best = np.sort(expected, axis=1)[:, -2:]
        clear = best[:, 1] - best[:, 0] > 1e-3
        assert clear.mean() > 0.99
        assert len(np.unique(expected.argmax(1))) > 1
        np.testing.assert_array_equal(found.argmax(1)[clear], expected.argmax(1)[clear])


def test_files_beside_the_model(exported: Path) -> None:
    folder = exported / "export" / "onnx"
    assert sorted(path.name for path in folder.iterdir()) == ["labels.json", "model.onnx"]
    assert json.loads((folder / "labels.json").read_text()) == {
        "labels": ["background", "boat", "cat"],
        "short_side": 48,
    }
