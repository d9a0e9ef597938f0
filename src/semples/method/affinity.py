"""Spread CAMs over patches that a transformer's attention finds alike (``docs/method.md``, "The clip generator").

Shapes: B images, K object classes, h x w patches, N = h * w, M masks.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from semples.method.masks import at_least_float32


def balance_affinity(attention: Tensor, iterations: int = 10) -> Tensor:
    """Make attention symmetric with rows and columns that sum to about 1: Sinkhorn, then A = (D + D^T) / 2.

    CLIP-ES, arXiv 2212.09506, section 3.3.

    Args:
        attention: Positive weights [B, N, N].
        iterations: Number of rounds; each divides rows, then columns, by their sums.

    Returns:
        Affinity [B, N, N], float32 or better.
    """
    balanced = at_least_float32(attention)
    for _ in range(iterations):
        balanced = balanced / balanced.sum(2, keepdim=True)
        balanced = balanced / balanced.sum(1, keepdim=True)
    return (balanced + balanced.transpose(1, 2)) / 2


def spread_cams(cams: Tensor, affinity: Tensor, steps: int, threshold: float) -> Tensor:
    """Apply the class-aware affinity: B_c * A^t vec(M_c).

    A is the balanced affinity, and B_c masks the boxes around the high values of M_c.

    Args:
        cams: Maps M [B, K, h, w], >= 0.
        affinity: Patch-to-patch attention [B, h * w, h * w], > 0, patches in row-major order.
        steps: t, the number of times A is applied.
        threshold: Share of a map's maximum. B_c is the union of the bounding boxes of the connected regions
            (8 neighbors) whose values are above it.

    Returns:
        Maps [B, K, h, w], float32 or better.

    Raises:
        ValueError: If the affinity does not fit the maps.
    """
    rows, columns = cams.shape[-2:]
    expected = (len(cams), rows * columns, rows * columns)
    if tuple(affinity.shape) != expected:
        raise ValueError(f"affinity has shape {tuple(affinity.shape)}, expected {expected} to fit the CAMs")
    cams = at_least_float32(cams)
    balanced = balance_affinity(affinity).to(cams.dtype)
    maps = cams.flatten(2)  # [B, K, N]
    for _ in range(steps):
        maps = maps @ balanced  # A is symmetric
    boxes = region_boxes(cams > threshold * cams.amax((-2, -1), keepdim=True))
    return maps.view(cams.shape) * boxes


def region_boxes(masks: Tensor) -> Tensor:
    """Return the union of the bounding boxes of each mask's connected regions (8 neighbors).

    Args:
        masks: [..., h, w], bool.

    Returns:
        [..., h, w], bool.
    """
    height, width = masks.shape[-2:]
    ids = _region_ids(masks.reshape(-1, height, width))  # [M, N], 0 outside every region
    row = torch.arange(height, device=ids.device).repeat_interleave(width).expand_as(ids)
    column = torch.arange(width, device=ids.device).repeat(height).expand_as(ids)

    # One slot for each possible region id, most of them unused: every region of every mask at once, without a loop.
    slots = (len(ids), height * width + 1)

    def extreme(values: Tensor, reduction: str) -> Tensor:
        return ids.new_zeros(slots).scatter_reduce(1, ids, values, reduction, include_self=False)

    # Box of the region in each slot, half-open: rows top to bottom - 1, columns left to right - 1.
    top, bottom = extreme(row, "amin"), extreme(row, "amax") + 1
    left, right = extreme(column, "amin"), extreme(column, "amax") + 1
    used = ids.new_zeros(slots).scatter(1, ids, 1)
    used[:, 0] = 0  # id 0 is the outside

    # A filled box is the cumulative sum, down and to the right, of four numbers: +1 at its top left corner, -1 just
    # past its top right and bottom left ones, +1 just past its bottom right one. A box of rows 0-1 and columns 1-2:
    #     0 +1  0 -1      cumsum down       0  1  0 -1      cumsum right      0  1  1  0
    #     0  0  0  0      ----------->      0  1  0 -1      ------------>     0  1  1  0
    #     0 -1  0 +1                        0  0  0  0                        0  0  0  0
    # The corners of all boxes are added up first, so that one pass gives the number of boxes over each cell. The grid
    # has one more row and column, for the corners past the border.
    corners = ids.new_zeros(len(ids), (height + 1) * (width + 1))
    for y, x, sign in ((top, left, 1), (top, right, -1), (bottom, left, -1), (bottom, right, 1)):
        corners.scatter_add_(1, y * (width + 1) + x, sign * used)
    boxes_over: Tensor = corners.view(-1, height + 1, width + 1).cumsum(1).cumsum(2)[:, :height, :width]
    return (boxes_over > 0).view(masks.shape)


def _region_ids(masks: Tensor) -> Tensor:
    """Number the connected regions of masks [M, h, w]: [M, N], int64, 0 outside, otherwise unique in its mask."""
    cells = masks[0].numel()
    ids = torch.arange(1, cells + 1, device=masks.device, dtype=torch.float32).view(masks.shape[1:]) * masks
    # Each cell starts with a number of its own, and takes the highest of its neighbors' until nothing changes.
    while True:
        grown = F.max_pool2d(ids[:, None], 3, 1, 1)[:, 0] * masks
        if torch.equal(grown, ids):
            return ids.flatten(1).long()
        ids = grown
