"""``semples predict``: masks and overlays for new images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from semples.data.crops import to_pixels
from semples.data.folder import IMAGE_SUFFIXES
from semples.data.images import read_image, write_image, write_mask
from semples.data.overlays import mask_overlay
from semples.data.validation import SizeOf
from semples.errors import DataError, ModelError
from semples.files import Writer
from semples.inference.label_maps import predict_labels, prediction_batches
from semples.models.segmentation import is_model_folder, load_segmentation_network
from semples.records import Sample
from semples.rundir.layout import RunDirectory, model_folder, skipped_images
from semples.runtime.image_checks import checking_images, record_skipped
from semples.training.devices import is_on_cpu
from semples.training.progress import TrainingLog

_SUFFIXES = ", ".join(sorted(IMAGE_SUFFIXES))


def predict(
    model: Path | str,
    images: Path | str | Sequence[Path | str],
    out: Path | str,
    overlays: bool = True,
    quiet: bool = False,
    skip_bad_images: bool = False,
) -> list[Path]:
    """Write ``NAME.png`` (mask) and ``NAME-overlay.jpg`` for every image.

    Images of equal size go through the network together, as many as memory allows. All headers are read before
    the first mask is written; damage behind a header stops the work there, and files written so far are complete.

    Args:
        model: A run directory, or the model folder inside it.
        images: Image files, folders of them, or patterns such as ``photos/*.jpg`` (``**`` includes subfolders).
            EXIF orientation is respected. An image that is given twice is predicted once.
        out: Folder for the results.
        overlays: Write the overlays too.
        quiet: Print nothing on standard error.
        skip_bad_images: Read all images first, skip those that cannot be read, and list them in
            ``skipped.json`` beside the masks; otherwise the first of them is an error.

    Returns:
        Paths of the masks, in the order of the images: palette PNG, uint8, 0 background, k + 1 for class k,
        at the upright image's own size.

    Raises:
        DataError: There are no images, one cannot be read, or one would be overwritten.
        ModelError: There is no model.
    """
    model, out = Path(model), Path(out)
    log = TrainingLog(quiet=quiet)
    with checking_images(skip_bad_images, log) as (size_of, bad):
        samples = _samples([images] if isinstance(images, Path | str) else images, size_of)
    targets = [out / f"{sample.id}.png" for sample in samples]
    _refuse_overwriting(out, [*targets, *(_overlay_path(path) for path in targets)], samples)
    folder = model_folder(model)
    if not is_model_folder(folder):
        expected = RunDirectory(Path("RUN")).model("segment")
        raise ModelError(f"{folder}: not a segmentation network; give a finished run, or its folder {expected}")
    network = load_segmentation_network(folder)
    network.to("cpu" if is_on_cpu("auto") else "cuda")
    batches = list(prediction_batches(network, samples))
    record_skipped(skipped_images(out), bad, log)
    with Writer() as writer:
        for indices in log.track(batches, "predict"):
            photographs = [read_image(samples[index].path) for index in indices]
            pixels = torch.stack([to_pixels(photograph) for photograph in photographs]).to(
                network.normalize_pixels.mean.device
            )
            for index, photograph, mask in zip(indices, photographs, predict_labels(network, pixels), strict=True):
                writer.add(write_mask, targets[index], mask)
                if overlays:
                    writer.add(_write_overlay, targets[index], photograph, mask)
    return targets


def _write_overlay(target: Path, photograph: NDArray[np.uint8], mask: NDArray[np.uint8]) -> None:
    write_image(_overlay_path(target), mask_overlay(photograph, mask))


def _samples(images: Sequence[Path | str], size_of: SizeOf) -> list[Sample]:
    """Return one sample per image, with the name of its results as id; this reads every header."""
    paths = list({path.resolve(): path for given in images for path in _image_files(Path(given).expanduser())}.values())
    if not paths:
        raise DataError(f"{', '.join(map(str, images))}: no images; expected {_SUFFIXES}")
    samples = [
        Sample(name, path, size, ())
        for name, path in zip(_names(paths), paths, strict=True)
        if (size := size_of(path)) is not None
    ]
    if not samples:
        raise DataError(
            f"{paths[0]}: none of the {len(paths)} images can be read; download them again, or run without "
            "--skip-bad-images to see why"
        )
    return samples


def _image_files(given: Path) -> Iterator[Path]:
    """Yield the images of a file, folder or pattern, sorted."""
    if given.is_dir():
        yield from _only_images(given.rglob("*"))
    elif given.is_file():
        yield given
    elif any(sign in str(given) for sign in "*?["):
        start = Path(given.anchor)
        matches = list(start.glob(str(given.relative_to(start))))
        if not matches:
            raise DataError(f"{given}: no file matches; give image files, folders of images, or a pattern in quotes")
        yield from _only_images(matches)
    else:
        raise DataError(f"{given}: does not exist; give image files, folders of images, or a pattern in quotes")


def _only_images(paths: Iterable[Path]) -> list[Path]:
    return sorted(path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())


def _names(paths: Sequence[Path]) -> list[str]:
    """Return the stems if they differ, else names of folder, stem and suffix, which must differ."""
    names = [path.stem for path in paths]
    if len(set(names)) < len(names):
        names = [f"{path.resolve().parent.name}-{path.stem}-{path.suffix[1:]}" for path in paths]
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        clash = " and ".join(str(path) for path, name in zip(paths, names, strict=True) if name == repeated[0])
        raise DataError(f"{clash}: both would be written to the same name; predict their folders one by one")
    return names


def _overlay_path(mask: Path) -> Path:
    return mask.with_name(f"{mask.stem}-overlay.jpg")


def _refuse_overwriting(out: Path, targets: Sequence[Path], samples: Sequence[Sample]) -> None:
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file; give a folder for the results")
    originals = {sample.path.resolve() for sample in samples}
    for target in targets:
        if target.resolve() in originals:
            raise DataError(
                f"{target}: is one of the images and would be overwritten; give another folder for the results"
            )
