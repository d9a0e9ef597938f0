"""From class activation maps to soft masks, masked regions and label maps (``docs/method.md``).

Shapes: B images, K object classes, P (image, class) pairs whose label is 1, h x w CAM cells, H x W pixels.
CAMs are non-negative. Half-precision maps are converted to float32, and returned as float32: the small eps and the
thresholds need its precision. All functions except :func:`positive_pairs`, :func:`winning_labels` and
:func:`labels_at_size` pass gradients.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

INFERENCE_EPS = 1e-8
"""The eps of :func:`normalize_cams` when no gradient is needed."""

_ROUNDING = 16
"""A map counts as constant if its range is below this many rounding errors of its maximum."""


def positive_pairs(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the (image, class) pairs whose label is not 0, sorted by image, then by class.

    Args:
        labels: Image-level labels [B, K], 0 or 1, of any dtype.

    Returns:
        Image indices [P] and class indices [P], int64.

    Raises:
        ValueError: If labels are not [B, K].
    """
    if labels.dim() != 2:
        raise ValueError(f"labels have shape {tuple(labels.shape)}, expected [B, K]")
    image_index, class_index = torch.nonzero(labels, as_tuple=True)
    return image_index, class_index


def normalize_cams(cams: Tensor, eps: float) -> Tensor:
    """Scale each map to [0, 1): ``(A - min A) / (max A - min A + eps)``, with gradients through min and max.

    A map that is constant up to rounding becomes zero: a small eps would amplify its rounding errors to a pattern.

    Args:
        cams: Maps [..., H, W].
        eps: Positive; keeps weak maps weak (0.1 in stages 1 and 3, 1e-4 in stage 2, 1e-8 at inference).

    Returns:
        Maps [..., H, W], float32 or better.
    """
    cams = at_least_float32(cams)
    lowest, highest = cams.amin((-2, -1), keepdim=True), cams.amax((-2, -1), keepdim=True)
    span = highest - lowest
    constant = span <= _ROUNDING * torch.finfo(cams.dtype).eps * highest.abs()
    return ((cams - lowest) / (span + eps)).masked_fill(constant, 0.0)


def upsample_cams(cams: Tensor, size: tuple[int, int], align_corners: bool) -> Tensor:
    """Resize maps bilinearly.

    Args:
        cams: Maps [B, K, h, w].
        size: Height and width (H, W) of the result.
        align_corners: True in training, False at inference (``docs/method.md``).

    Returns:
        Maps [B, K, H, W], float32 or better.
    """
    return F.interpolate(at_least_float32(cams), size, mode="bilinear", align_corners=align_corners)


def divide_cams_by_peak(cams: Tensor) -> Tensor:
    """Divide each map by its maximum, which is a constant for the gradient; an all-zero map stays zero.

    Lets one eps of :func:`normalize_cams` fit generators whose CAMs differ in range from WeakTr's.

    Args:
        cams: Maps [..., h, w], >= 0.

    Returns:
        Maps [..., h, w] in [0, 1], float32 or better.
    """
    cams = at_least_float32(cams)
    peak = cams.detach().amax((-2, -1), keepdim=True)
    return cams / torch.where(peak > 0, peak, 1.0)


def soft_masks(
    cams: Tensor,
    image_index: Tensor,
    class_index: Tensor,
    size: tuple[int, int],
    eps: float,
    divide_by_peak: bool,
    align_corners: bool = True,
) -> Tensor:
    """Return the soft mask M of each pair: its CAM upsampled and scaled to [0, 1) (``docs/method.md``).

    Args:
        cams: CAMs [B, K, h, w], >= 0.
        image_index: Image of each pair [P], int64, from :func:`positive_pairs`.
        class_index: Class of each pair [P], int64.
        size: Height and width (H, W) of the masks.
        eps: Passed to :func:`normalize_cams`.
        divide_by_peak: Divide each CAM by its maximum first (:func:`divide_cams_by_peak`).
        align_corners: Passed to :func:`upsample_cams`.

    Returns:
        Masks [P, H, W] in [0, 1), float32 or better; P may be 0.
    """
    selected = cams[image_index, class_index]  # [P, h, w]: only these are upsampled
    if divide_by_peak:
        selected = divide_cams_by_peak(selected)
    upsampled = upsample_cams(selected[:, None], size, align_corners)  # [P, 1, H, W]
    return normalize_cams(upsampled[:, 0], eps)


def masked_regions(pixels: Tensor, masks: Tensor, image_index: Tensor, fill: Tensor) -> tuple[Tensor, Tensor]:
    """Return foreground X_f = M * X + (1 - M) * mu and background X_b = (1 - M) * X + M * mu of each pair.

    Args:
        pixels: Images X [B, 3, H, W], RGB in [0, 1].
        masks: Soft masks M [P, H, W] in [0, 1].
        image_index: Image of each mask [P], int64.
        fill: Color mu [3] that replaces removed pixels: the vision-language model's mean color.

    Returns:
        Foregrounds and backgrounds, each [P, 3, H, W], in the range of the pixels and the fill.

    Raises:
        ValueError: If the masks do not fit the images or the pairs, or the fill does not fit the channels.
    """
    _check_regions(pixels, masks, image_index, fill)
    color = fill[:, None, None]  # [3, 1, 1]
    images = pixels[image_index]  # [P, 3, H, W]
    kept = masks[:, None] * (images - color)
    return color + kept, images - kept


def with_background(cams: Tensor, threshold: float) -> Tensor:
    """Prepend a constant background channel to CAMs.

    Args:
        cams: CAMs [K', H, W] in [0, 1]; K' may be 0.
        threshold: Value of the background channel, in [0, 1].

    Returns:
        Scores [K'+1, H, W], float32 or better.

    Raises:
        ValueError: If the CAMs are integers.
    """
    if not cams.is_floating_point():
        raise ValueError(f"CAMs have dtype {cams.dtype}, expected floats in [0, 1]: divide 8-bit maps by 255")
    cams = at_least_float32(cams)
    return torch.cat([cams.new_full((1, *cams.shape[1:]), threshold), cams])


def winning_labels(scores: Tensor, class_ids: Tensor) -> Tensor:
    """Return the label map of the highest scores; a tie goes to the background, or else to the first class.

    Args:
        scores: Scores [K'+1, H, W], background first.
        class_ids: 0-based indices [K'] of the classes, int64.

    Returns:
        Label map [H, W], uint8: 0 is background, class k is k + 1.

    Raises:
        ValueError: If there is not one map for each class and one for the background.
    """
    if scores.dim() != 3 or len(scores) != len(class_ids) + 1:
        raise ValueError(
            f"scores have shape {tuple(scores.shape)}, expected [{len(class_ids) + 1}, H, W]: background and one map "
            "for each class id"
        )
    labels = F.pad(class_ids.to(scores.device) + 1, (1, 0))  # [K'+1], 0 in front
    return labels[scores.max(0).indices].to(torch.uint8)


def ignore_band(low: Tensor, high: Tensor, ignore_index: int) -> Tensor:
    """Keep the labels that a low and a high background score agree on, and ignore the others as uncertain.

    Args:
        low: Label map [H, W] of a low background score.
        high: Label map [H, W] of a high background score.
        ignore_index: Label of the pixels that differ.

    Returns:
        Label map [H, W] with the dtype of ``low``.
    """
    return torch.where(low == high, low, ignore_index).to(low.dtype)


def score_margin(scores: Tensor) -> Tensor:
    """Return the confidence of :func:`winning_labels`: the best score minus the second best (``docs/method.md``).

    Args:
        scores: Scores [K'+1, H, W] in [0, 1], background first; if K' is 0, the second best is 0.

    Returns:
        Margins [H, W] in [0, 1], 0 on the border between two labels.
    """
    best, second = F.pad(scores, (0, 0, 0, 0, 0, 1)).topk(2, dim=0).values.unbind()
    margin: Tensor = best - second
    return margin


def merge_multiscale_cams(runs: Iterable[Tensor], eps: float = INFERENCE_EPS) -> Tensor:
    """Sum the CAMs of all scales and flips, and scale each map of the sum to [0, 1] by its minimum and maximum.

    Args:
        runs: One or more sets of maps [..., H, W], >= 0, all at the image's own size and mirrored back. They are summed
            one by one, so that an iterator needs memory for one set only.
        eps: Passed to :func:`normalize_cams`.

    Returns:
        Maps [..., H, W] in [0, 1], float32 or better.

    Raises:
        ValueError: If there is no run or two of them differ in shape.
    """
    summed: Tensor | None = None
    for run in runs:
        cams = at_least_float32(run)
        if summed is not None and cams.shape != summed.shape:
            raise ValueError(f"CAMs of a run have shape {tuple(cams.shape)}, expected {tuple(summed.shape)} as before")
        summed = cams if summed is None else summed + cams
    if summed is None:
        raise ValueError("no CAMs to merge, expected at least one run")
    return normalize_cams(summed, eps)


def labels_at_size(logits: Tensor, size: tuple[int, int], most_values: int = 2**25) -> Tensor:
    """Return the label map of logits scaled bilinearly to a size, in bands of rows to bound memory.

    Equal to ``F.interpolate(logits, size, mode="bilinear", align_corners=False).argmax(1)`` except for rounding.

    Args:
        logits: Logits [B, C, h, w], C at most 256.
        size: Height and width (H, W) of the result.
        most_values: Approximate limit on the number of scaled logits in memory.

    Returns:
        Labels uint8 [B, H, W].
    """
    batch, channels, rows = logits.shape[:3]
    height, width = size
    # Each row of the result is interpolated here, from the input rows above and below; F.interpolate does the columns.
    position = ((torch.arange(height, device=logits.device) + 0.5) * rows / height - 0.5).clamp(0, rows - 1)
    above = position.floor().long()
    below = (above + 1).clamp(max=rows - 1)
    share = (position - above).view(-1, 1).to(logits.dtype)
    labels = torch.empty((batch, height, width), dtype=torch.uint8, device=logits.device)
    band = max(1, most_values // (batch * channels * width))
    for start in range(0, height, band):
        part = slice(start, start + band)
        mixed = torch.lerp(logits[:, :, above[part]], logits[:, :, below[part]], share[part])  # [B, C, band, w]
        scaled = F.interpolate(mixed, (mixed.shape[2], width), mode="bilinear", align_corners=False)
        labels[:, part] = scaled.argmax(1).to(torch.uint8)
    return labels


def at_least_float32(maps: Tensor) -> Tensor:
    """Convert half-precision maps to float32; leave float32 and float64 as they are."""
    return maps.to(torch.promote_types(maps.dtype, torch.float32))


def _check_regions(pixels: Tensor, masks: Tensor, image_index: Tensor, fill: Tensor) -> None:
    expected = (len(image_index), *pixels.shape[-2:])
    if tuple(masks.shape) != expected:
        raise ValueError(f"masks have shape {tuple(masks.shape)}, expected {expected} to fit pairs and images")
    if tuple(fill.shape) != (pixels.shape[1],):
        raise ValueError(f"fill has shape {tuple(fill.shape)}, expected {(pixels.shape[1],)}: one value per channel")
