"""The saved folder in ``transformers.pipeline("image-segmentation")``, beside our own prediction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from transformers import pipeline

from sample_data import write_photograph
from semples.data.crops import to_pixels
from semples.data.images import read_image
from semples.inference.label_maps import predict_labels
from semples.models.segmentation import SegmentationNetwork, load_segmentation_network
from tiny import MEAN, STD
from tiny_segmenters import SEGMENTERS, make_segmenter

NAMES = ("background", "boat", "cat")


@pytest.fixture(scope="module", params=list(SEGMENTERS))
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    make_segmenter(request.param).save(folder)
    return folder


def sideways(folder: Path) -> Path:
    """Write a photograph of 64 x 96 pixels that EXIF turns upright to 96 x 64."""
    return write_photograph(folder / "a.png", (64, 96), 3, orientation=6, patches=(4, 6))


def label_map(found: list[dict[str, Any]]) -> NDArray[np.int64]:
    """Put the pipeline's masks, one for each class, into one map; every pixel has to be in exactly one."""
    masks = {entry["label"]: np.asarray(entry["mask"]) == 255 for entry in found}
    assert (sum(mask.astype(int) for mask in masks.values()) == 1).all()
    labels = np.zeros(next(iter(masks.values())).shape, np.int64)
    for name, mask in masks.items():
        labels[mask] = NAMES.index(name)
    return labels


def test_pipeline_agrees_with_our_prediction(saved: Path, tmp_path: Path) -> None:
    """Two differences remain: we average with the mirror image, and scale pixels without rounding them to bytes."""
    path = sideways(tmp_path)
    segmenter: Any = pipeline("image-segmentation", model=str(saved), device="cpu")
    found = label_map(segmenter(str(path)))
    network = load_segmentation_network(saved)
    once = looked_at_once(network, read_image(path))
    assert found.shape == once.shape == (96, 64)
    assert len(np.unique(once)) > 1
    assert (found == once).mean() > 0.999
    assert (found == predict_labels(network, to_pixels(read_image(path))[None])[0]).mean() > 0.6  # of random weights


def looked_at_once(network: SegmentationNetwork, image: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Labels of the image at short side 48, scaled by Pillow, without its mirror image."""
    scaled = Image.fromarray(image).resize((48, 72), Image.Resampling.BILINEAR)
    with torch.no_grad():
        logits = network.model(pixel_values=network.normalize_pixels(to_pixels(np.asarray(scaled))[None])).logits
    return np.asarray(F.interpolate(logits, (96, 64), mode="bilinear", align_corners=False).argmax(1)[0])


def test_processor_scales_and_normalises_as_we_do(saved: Path, tmp_path: Path) -> None:
    segmenter: Any = pipeline("image-segmentation", model=str(saved), device="cpu")
    image = Image.fromarray(read_image(sideways(tmp_path)))
    given = segmenter.image_processor(image, return_tensors="pt")["pixel_values"]
    assert given.shape == (1, 3, 72, 48)
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    expected = (to_pixels(np.asarray(image.resize((48, 72), Image.Resampling.BILINEAR))) - mean) / std
    assert torch.allclose(given[0], expected, atol=1e-4)
    assert segmenter.model.config.id2label == dict(enumerate(NAMES))


def test_a_short_side_at_its_own_length_gives_the_very_same_logits(saved: Path) -> None:
    """Without any resizing, network and pipeline differ in nothing."""
    segmenter: Any = pipeline("image-segmentation", model=str(saved), device="cpu")
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    given = segmenter.image_processor(Image.fromarray(image), return_tensors="pt")["pixel_values"]
    network = load_segmentation_network(saved)
    with torch.no_grad():
        theirs = segmenter.model(pixel_values=given).logits
        theirs = F.interpolate(theirs, (48, 64), mode="bilinear", align_corners=False)
        assert torch.allclose(network(to_pixels(image)[None]), theirs, atol=1e-4)
