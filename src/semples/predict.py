"""Masks and overlays for new images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from semples.data.folder import IMAGE_SUFFIXES
from semples.data.images import read_image, write_image, write_mask
from semples.data.loading import to_pixels
from semples.data.overlays import mask_overlay
from semples.errors import DataError
from semples.models.segmentation import load_segmentation_network
from semples.stages.segment import predict_labels
from semples.training import TrainingLog


def predict(model: Path, images: Sequence[Path], out: Path) -> list[Path]:
    """Write ``NAME.png`` (mask) and ``NAME-overlay.jpg`` for every image.

    Args:
        model: A run directory, or the model folder inside it.
        images: Image files, or folders of them.
        out: Folder for the results.

    Returns:
        Paths of the masks: palette PNG, uint8, 0 background, k + 1 for class k, at the image's own size.

    Raises:
        DataError: No images, or one that cannot be read.
        ModelError: No model there.
    """
    inner = model / "5-segment" / "model"
    network = load_segmentation_network(inner if inner.is_dir() else model)
    paths = list(_image_files(images))
    names = _output_names(paths)
    written = []
    for path, name in zip(TrainingLog(quiet=False).track(paths, "predict"), names, strict=True):
        image = read_image(path)
        mask = predict_labels(network, to_pixels(image)[None].to(network.mean.device))[0]
        target = out / f"{name}.png"
        write_mask(target, mask)
        write_image(out / f"{name}-overlay.jpg", mask_overlay(image, mask))
        written.append(target)
    return written


def _image_files(given: Sequence[Path]) -> Iterator[Path]:
    found = False
    for path in given:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
        elif path.is_file():
            inside = [path]
        else:
            raise DataError(f"{path} is not there: give image files or folders of images")
        found = found or bool(inside)
        yield from inside
    if not found:
        raise DataError(f"no images in {', '.join(map(str, given))}: expected {', '.join(IMAGE_SUFFIXES)}")


def _output_names(paths: Sequence[Path]) -> list[str]:
    """Stems where they differ, else stems with their suffix in the name; a clash beyond that is an error."""
    names = [path.stem for path in paths]
    if len(set(names)) < len(names):
        names = [f"{path.parent.name}-{path.stem}-{path.suffix[1:]}" for path in paths]
    if len(set(names)) < len(names):
        raise DataError("two images would be written to the same name: predict their folders one by one")
    return names
