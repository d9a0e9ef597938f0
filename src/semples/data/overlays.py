"""Draws masks and heat maps over photographs, in the classes' palette colors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from semples.data.catalogues import PALETTE

Pixels = npt.NDArray[np.uint8]

HEAT_COLORS = ((0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164))
"""Colors of the heat maps at 0, 1/4, 1/2, 3/4 and 1 (matplotlib's "inferno", sampled)."""

_MASK_SHARE = 0.55
_ROWS_AT_A_TIME = 256
"""Rows blended at a time, so that large photographs need little memory."""


def heat_overlay(photograph: Pixels, heat: Pixels) -> Pixels:
    """Blend a [h,w] map (255 = 1.0) over a [h,w,3] photograph: the hotter, the more color."""
    share = heat[..., None] / 255
    steps = np.linspace(0, 255, len(HEAT_COLORS))
    anchors = np.array(HEAT_COLORS)
    colors = np.stack([np.interp(heat, steps, anchors[:, channel]) for channel in range(3)], axis=-1)
    gray = photograph.mean(axis=-1, keepdims=True) * 0.8
    strength = 0.2 + 0.65 * share
    return _to_bytes((1 - strength) * gray + strength * colors)


def mask_overlay(photograph: Pixels, mask: Pixels) -> Pixels:
    """Blend a [h,w] mask in the classes' colors over a [h,w,3] photograph; regions get a lighter outline."""
    outline = _outline(mask)
    result = np.empty_like(photograph)
    for start in range(0, len(mask), _ROWS_AT_A_TIME):
        rows = slice(start, start + _ROWS_AT_A_TIME)
        result[rows] = _blend(photograph[rows], mask[rows], outline[rows])
    return result


def _blend(photograph: Pixels, mask: Pixels, outline: npt.NDArray[np.bool_]) -> Pixels:
    colors = PALETTE[mask].astype(np.float64)
    mixed = (1 - _MASK_SHARE) * photograph + _MASK_SHARE * colors
    outlined = np.where(outline[..., None], 0.6 * colors + 0.4 * 255, mixed)
    return _to_bytes(np.where((mask == 0)[..., None], photograph, outlined))


def _outline(mask: Pixels) -> npt.NDArray[np.bool_]:
    # A pixel on either side of a boundary between two labels is an edge.
    edges = np.zeros(mask.shape, dtype=bool)
    vertical = mask[1:] != mask[:-1]
    horizontal = mask[:, 1:] != mask[:, :-1]
    edges[1:] |= vertical
    edges[:-1] |= vertical
    edges[:, 1:] |= horizontal
    edges[:, :-1] |= horizontal
    return edges


def _to_bytes(values: npt.NDArray[np.float64]) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
