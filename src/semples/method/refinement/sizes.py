"""The check of sizes that refinements share."""

from __future__ import annotations

from torch import Tensor


def check_sizes(image: Tensor, scores: Tensor) -> None:
    """Refuse scores [C, H, W] that do not fit an image [3, H, W].

    Raises:
        ValueError: Their sizes differ.
    """
    if scores.dim() != 3 or image.shape[1:] != scores.shape[1:]:
        raise ValueError(
            f"scores have shape {tuple(scores.shape)}, expected [C, H, W] at the size of the image, "
            f"{tuple(image.shape[1:])}"
        )
