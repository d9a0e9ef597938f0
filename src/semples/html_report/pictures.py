"""Reads photographs, masks and CAMs at the size that the report shows, and encodes them as data URIs."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from semples.data.catalogues import PALETTE
from semples.rundir.maps import DAMAGED_MAPS, read_maps

Pixels = npt.NDArray[np.uint8]

MAP_SHARE = 0.5
"""Side of stored CAMs relative to a photograph that was shrunk: CAMs are smooth, so half is enough."""

_LARGEST_CRISP = 160
_BROKEN_IMAGE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


@dataclass(frozen=True)
class Frame:
    """Stored sizes (width, height) in pixels of an image: ``size`` of the photograph and masks, ``maps`` of the CAMs.

    ``pixelated`` marks an image so small that its pixels should stay crisp when enlarged.
    """

    size: tuple[int, int]
    maps: tuple[int, int]
    pixelated: bool


def fit_frame(height: int, width: int, side: int) -> Frame:
    """Fit an image into a square of ``side`` pixels; smaller images keep their size."""
    longest = max(height, width)
    if longest <= side:
        return Frame((width, height), (width, height), longest <= _LARGEST_CRISP)
    return Frame(_scaled(height, width, side / longest), _scaled(height, width, MAP_SHARE * side / longest), False)


def _scaled(height: int, width: int, factor: float) -> tuple[int, int]:
    return max(1, round(width * factor)), max(1, round(height * factor))


def read_photograph(path: Path, frame: Frame) -> Pixels | None:
    """Read a photograph as [h,w,3] RGB at the frame's size, or None if it cannot be read."""
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except _BROKEN_IMAGE:
        return None
    return np.asarray(upright.resize(frame.size, Image.Resampling.LANCZOS))


def read_thumbnail_mask(path: Path, frame: Frame) -> Pixels | None:
    """Read a mask as [h,w] class values at the frame's size, or None if it cannot be read."""
    try:
        with Image.open(path) as image:
            if image.mode not in ("P", "L"):
                return None
            return np.asarray(image.resize(frame.size, Image.Resampling.NEAREST))
    except _BROKEN_IMAGE:
        return None


def read_class_maps(path: Path, num_classes: int) -> dict[int, Pixels] | None:
    """Read the maps of one image as {class: [h,w] uint8, 255 = 1.0}, or None if they cannot be read."""
    try:
        cams, classes = read_maps(path)
    except DAMAGED_MAPS:
        return None
    maps = {int(index): cam for index, cam in zip(classes, cams, strict=True)}
    return maps if all(0 <= index < num_classes for index in maps) else None


def resize_map(cam: Pixels, size: tuple[int, int]) -> Pixels:
    """Resize a map [h,w] smoothly to (width, height)."""
    return np.asarray(Image.fromarray(cam).resize(size, Image.Resampling.BILINEAR))


def photograph_uri(pixels: Pixels, frame: Frame) -> str:
    """Encode [h,w,3] pixels as JPEG, nearly lossless for images that are shown pixel by pixel."""
    quality = {"quality": 92, "subsampling": 0} if frame.pixelated else {"quality": 80}
    return _data_uri(Image.fromarray(pixels), "JPEG", **quality)


def map_uri(cam: Pixels) -> str:
    """Encode a map [h,w] as a gray PNG."""
    return _data_uri(Image.fromarray(cam), "PNG", optimize=True)


def mask_uri(mask: Pixels) -> str:
    """Encode a mask [h,w] as a PNG whose palette contains only the colors of the values that occur."""
    values, indices = np.unique(mask, return_inverse=True)
    image = Image.fromarray(indices.reshape(mask.shape).astype(np.uint8), mode="L").copy()
    image.putpalette(PALETTE[values].tobytes())
    return _data_uri(image, "PNG", optimize=True)


def _data_uri(image: Image.Image, kind: str, **options: int) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def class_color(index: int) -> str:
    """Return the CSS color of a class (0-based index), the same as in its masks."""
    return mask_color((index + 1) % 256)


def mask_color(value: int) -> str:
    """Return the CSS color of a mask value."""
    red, green, blue = PALETTE[value].tolist()
    return f"rgb({red} {green} {blue})"
