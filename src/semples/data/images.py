"""Reads photographs as RGB arrays that look as in a viewer; reads and writes index masks.

Masks are uint8 [H, W]: 0 = background, k + 1 = class k of the catalogue, 255 = ignore.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.TiffImagePlugin import IMAGELENGTH, IMAGEWIDTH, TiffImageFile

from semples.data.catalogues import PALETTE, voc_palette
from semples.errors import DataError
from semples.files import replacing
from semples.records import IGNORE_INDEX

_PHOTO_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
_PHOTO_FIX = "download it again, or leave it out"
_MASK_FIX = "recreate it, or remove it"

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> the operation that turns the image upright; 5 to 8 swap height and width."""


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """Read a photograph as RGB, uint8 [H, W, 3], turned upright by its EXIF orientation.

    Transparent parts become white, 16-bit gray is scaled to 8 bits, and only the first frame of an animation is read.

    Raises:
        DataError: The file is missing, empty, truncated, not a JPEG, PNG, WebP, BMP, TIFF or GIF image, too large
            to be a photograph, or of a mode without a fixed range (32-bit and float gray).
    """
    with _open_image(path, _PHOTO_FORMATS, _PHOTO_FIX) as image:
        orientation = _orientation(image)
        image.load()
        rgb = _to_rgb(image, path)
        # Pillow itself turns TIFF images upright while loading.
        if orientation in _UPRIGHT and not isinstance(image, TiffImageFile):
            rgb = rgb.transpose(_UPRIGHT[orientation])
        return np.array(rgb)


def image_size(path: Path) -> tuple[int, int]:
    """Return the (height, width) that :func:`read_image` would return, from the file's header alone.

    Raises:
        DataError: The file is missing, empty or not an image. Damage behind the header goes unnoticed.
    """
    with _open_image(path, _PHOTO_FORMATS, _PHOTO_FIX) as image:
        width, height = image.size
        if isinstance(image, TiffImageFile):  # whether image.size is upright already depends on the version
            width, height = image.tag_v2[IMAGEWIDTH], image.tag_v2[IMAGELENGTH]
        return (width, height) if _orientation(image) >= 5 else (height, width)


def read_mask(
    path: Path, size: tuple[int, int] | None, num_classes: int, map_values: Mapping[int, int] | None = None
) -> npt.NDArray[np.uint8]:
    """Read a mask, ground truth or pseudo, as uint8 [H, W] in {0..num_classes, 255}.

    Args:
        path: A palette or 8-bit gray PNG; its values are indices, never colors.
        size: Height and width that the mask must have; None accepts any.
        num_classes: Number of object classes K, without background.
        map_values: Value in the file -> value in the result; other values stay as they are.

    Raises:
        DataError: The file is missing, damaged or not an index mask, has another size, or contains values
            that are not a class.
    """
    with _open_image(path, ("PNG",), _MASK_FIX) as image:
        if image.mode not in ("P", "L"):
            raise DataError(f"{path}: {_wrong_mask(image)}")
        mask = np.array(image)
    if size is not None and mask.shape != size:
        raise DataError(
            f"{path}: has {_dimensions(mask.shape)} pixels (height x width), but its image has {_dimensions(size)}; "
            f"{_MASK_FIX}"
        )
    if map_values:
        mask = np.array([map_values.get(value, value) for value in range(256)], dtype=np.uint8)[mask]
    present = np.flatnonzero(np.bincount(mask.ravel(), minlength=256))
    if unknown := [str(value) for value in present if num_classes < value != IGNORE_INDEX]:
        raise DataError(
            f"{path}: values {', '.join(unknown)} are not classes; expected 0 (background), 1 to {num_classes} "
            f"(classes) and {IGNORE_INDEX} (ignore), so correct the mask or the list of classes"
        )
    return mask


def write_mask(path: Path, mask: npt.NDArray[np.uint8]) -> None:
    """Write a mask, uint8 [H, W], as a PNG with the VOC palette, completely or not at all."""
    if mask.dtype != np.uint8 or mask.ndim != 2:
        raise ValueError(f"expected a uint8 mask [H, W], got {mask.dtype} {list(mask.shape)}")
    height, width = mask.shape
    image = Image.frombytes("P", (width, height), mask.tobytes())
    image.putpalette(voc_palette())
    with replacing(path) as temporary:
        image.save(temporary, format="PNG")


def write_confidence(path: Path, confidence: npt.NDArray[np.uint8]) -> None:
    """Write the confidence of a mask, uint8 [H, W] with 255 for 1, as a gray PNG, completely or not at all."""
    with replacing(path) as temporary:
        Image.fromarray(confidence).save(temporary, format="PNG")


def read_confidence(path: Path, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Read a file of :func:`write_confidence` for an image of a given (height, width).

    Raises:
        DataError: The file is missing, damaged, not an 8-bit gray PNG, or of another size.
    """
    with _open_image(path, ("PNG",), _MASK_FIX) as image:
        mode, confidence = image.mode, np.array(image)
    if mode != "L" or confidence.shape != size:
        found = f"{_dimensions(confidence.shape[:2])} pixels (height x width) of mode {mode}"
        raise DataError(f"{path}: found {found}; expected {_dimensions(size)} of mode L")
    return confidence


def write_image(path: Path, rgb: npt.NDArray[np.uint8]) -> None:
    """Write RGB, uint8 [H, W, 3], as PNG or JPEG (quality 95) by the suffix, completely or not at all."""
    formats = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
    if path.suffix.lower() not in formats:
        raise ValueError(f"{path}: expected one of the suffixes {', '.join(formats)}")
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"expected uint8 RGB [H, W, 3], got {rgb.dtype} {list(rgb.shape)}")
    with replacing(path) as temporary:
        Image.fromarray(rgb).save(temporary, format=formats[path.suffix.lower()], quality=95)


def indices_from_voc_colors(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Turn colors of the VOC palette, uint8 [H, W, 3], back into indices, uint8 [H, W].

    Raises:
        ValueError: A color is not in the palette.
    """
    # A color is one number, 0xRRGGBB; a binary search in the sorted palette finds the index of each pixel.
    codes = PALETTE.astype(np.int64) @ [1 << 16, 1 << 8, 1]
    wanted = rgb.astype(np.int64) @ [1 << 16, 1 << 8, 1]
    order = np.argsort(codes)
    indices: npt.NDArray[np.intp] = order[np.searchsorted(codes[order], wanted).clip(max=255)]
    if not np.array_equal(codes[indices], wanted):
        raise ValueError("some colors are not in the VOC palette")
    return indices.astype(np.uint8)


@contextmanager
def _open_image(path: Path, formats: tuple[str, ...], fix: str) -> Iterator[Image.Image]:
    """Open an image by its content; turn any exception that Pillow raises on damaged files into a DataError."""
    try:
        # Images that Pillow only warns about (large ones, damaged metadata) are read, or fail below.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=formats) as image:
                yield image
    except DataError:
        raise
    except UnidentifiedImageError as error:
        problem = "the file is empty" if path.stat().st_size == 0 else f"this is not a {_alternatives(formats)} image"
        raise DataError(f"{path}: {problem}; {fix}") from error
    except Exception as error:  # decoders may raise anything on damaged bytes
        if isinstance(error, OSError) and error.errno is not None:
            raise DataError(f"{path}: cannot be opened ({error.strerror}); {fix}") from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: the image is damaged or too large ({reason}); {fix}") from error


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8, or 1 without one; call this before the pixels are loaded."""
    try:
        # The base class's method: the one for PNG would decode the pixels to look for EXIF behind them.
        orientation = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged metadata is not a reason to refuse the pixels
        return 1
    return orientation if orientation in _UPRIGHT else 1


def _to_rgb(image: Image.Image, path: Path) -> Image.Image:
    if image.mode.startswith("I;16") or (image.mode, image.format) == ("I", "PNG"):
        gray = (np.asarray(image).astype(np.uint32) * 255 + 32767) // 65535
        return Image.fromarray(gray.astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise DataError(f"{path}: 32-bit gray has no fixed range; save the image with 8 or 16 bits")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _wrong_mask(image: Image.Image) -> str:
    """Say why an image is not an index mask, and what to do."""
    expected = "expected a palette or 8-bit gray PNG whose values are class indices"
    if image.mode not in ("RGB", "RGBA") or not _has_voc_colors(image):
        return f"a mask of mode {image.mode}; {expected}"
    return (
        f"an RGB mask in the colors of VOC; {expected}, so convert it with semples.data.images: "
        "write_mask(path, indices_from_voc_colors(read_image(path)))"
    )


def _has_voc_colors(image: Image.Image) -> bool:
    try:
        indices_from_voc_colors(np.array(image.convert("RGB")))
    except ValueError:
        return False
    return True


def _alternatives(names: tuple[str, ...]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _dimensions(size: tuple[int, ...]) -> str:
    return " x ".join(map(str, size))
