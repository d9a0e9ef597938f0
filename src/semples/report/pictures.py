"""Thumbnails, heat maps and mask overlays as data URIs."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps
from safetensors import SafetensorError
from safetensors.numpy import load_file

from semples.data.overlays import HEAT_COLOURS, PALETTE

Pixels = npt.NDArray[np.uint8]

DISPLAY_WIDTH = 160
"""Width in CSS pixels that a thumbnail has at most."""

DISPLAY_HEIGHT = 220
"""Height in CSS pixels that a thumbnail has at most."""

_DENSITY = 1.5  # device pixels per CSS pixel that large photographs are stored at, for sharp phones
_PLAIN_GREY = 128
_BROKEN_IMAGE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


@dataclass(frozen=True)
class Picture:
    """An image inside the page: data URI, size in CSS pixels, and whether its pixels must stay crisp."""

    source: str
    width: int
    height: int
    pixelated: bool


@dataclass(frozen=True)
class Frame:
    """Size of one image's thumbnails: (width, height) as stored and as displayed, in pixels."""

    stored: tuple[int, int]
    displayed: tuple[int, int]
    pixelated: bool

    @property
    def smooth(self) -> Image.Resampling:
        """How photographs and heat maps are resized into this frame."""
        return Image.Resampling.NEAREST if self.pixelated else Image.Resampling.BILINEAR


def fit(height: int, width: int) -> Frame:
    """Make the frame for an image: large ones shrink to about 160 px, small ones grow by a whole factor."""
    scale = min(DISPLAY_WIDTH / width, DISPLAY_HEIGHT / height)
    if scale >= 1:
        factor = round(scale)
        grown = (width * factor, height * factor)
        return Frame(grown, grown, pixelated=True)
    displayed = (max(1, round(width * scale)), max(1, round(height * scale)))
    density = min(_DENSITY, 1 / scale)
    stored = (max(1, round(width * scale * density)), max(1, round(height * scale * density)))
    return Frame(stored, displayed, pixelated=False)


def read_photograph(path: Path, frame: Frame) -> Pixels | None:
    """Read a photograph as [h,w,3] RGB at the frame's stored size, or None where it cannot be read."""
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except _BROKEN_IMAGE:
        return None
    # Lanczos keeps fine structure when shrinking.
    resampling = Image.Resampling.NEAREST if frame.pixelated else Image.Resampling.LANCZOS
    return np.asarray(upright.resize(frame.stored, resampling))


def read_mask(path: Path, frame: Frame) -> Pixels | None:
    """Read a mask as [h,w] class values at the frame's stored size, or None where it cannot be read."""
    try:
        with Image.open(path) as image:
            if image.mode not in ("P", "L"):
                return None
            return np.asarray(image.resize(frame.stored, Image.Resampling.NEAREST))
    except _BROKEN_IMAGE:
        return None


def read_cams(path: Path, frame: Frame) -> dict[int, Pixels] | None:
    """Read the maps of one image as {class: [h,w] uint8, 255 = 1.0}, or None where they cannot be read."""
    try:
        tensors = load_file(path)
        cams, classes = tensors["cams"], tensors["classes"]
        if cams.dtype != np.uint8 or cams.ndim != 3 or classes.shape != cams.shape[:1]:
            return None
        return {int(index): _resize_map(cam, frame) for index, cam in zip(classes, cams, strict=True)}
    except (OSError, ValueError, KeyError, SafetensorError):
        return None


def plain_canvas(frame: Frame) -> Pixels:
    """Make a grey [h,w,3] image that stands in for a photograph that is gone."""
    width, height = frame.stored
    return np.full((height, width, 3), _PLAIN_GREY, dtype=np.uint8)


def to_picture(pixels: Pixels, frame: Frame) -> Picture:
    """Encode [h,w,3] pixels: PNG where they must stay crisp, JPEG otherwise."""
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    if frame.pixelated:
        image.save(buffer, "PNG")
    else:
        image.save(buffer, "JPEG", quality=82)
    kind = "png" if frame.pixelated else "jpeg"
    encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
    width, height = frame.displayed
    return Picture(f"data:image/{kind};base64,{encoded}", width, height, frame.pixelated)


def class_colour(index: int) -> str:
    """Return the CSS colour of a class (0-based), the one it has in masks."""
    return mask_colour((index + 1) % 256)


def mask_colour(value: int) -> str:
    """Return the CSS colour of a mask value."""
    red, green, blue = PALETTE[value].tolist()
    return f"rgb({red} {green} {blue})"


def heat_gradient() -> str:
    """Return the heat maps' colour scale as a CSS gradient."""
    return f"linear-gradient(90deg, {', '.join(f'rgb({r} {g} {b})' for r, g, b in HEAT_COLOURS)})"


def _resize_map(cam: Pixels, frame: Frame) -> Pixels:
    return np.asarray(Image.fromarray(cam).resize(frame.stored, frame.smooth))
