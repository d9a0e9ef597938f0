"""Reads ground truth; only the evaluate stage and the supervised bound may import this module."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from semples.data.images import read_mask
from semples.records import Sample


def read_truth(sample: Sample, num_classes: int) -> NDArray[np.uint8]:
    """Return the ground-truth mask of a sample that has one, uint8 [H, W] in {0..num_classes, 255}.

    Raises:
        DataError: It is missing, damaged, of another size, or contains values that are not a class.
    """
    if sample.mask_source is not None:
        return sample.mask_source.draw(sample)
    assert sample.mask_path is not None
    return read_mask(sample.mask_path, sample.size, num_classes)
