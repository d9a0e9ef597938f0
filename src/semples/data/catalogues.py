"""Class names of common data sets, their words for a vision-language model (VLM), and mask colors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from semples.errors import ConfigError, did_you_mean
from semples.records import ClassCatalogue

_VOC_NAMES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person"),
    *("pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)

_VOC_PROMPT_NAMES = {
    "person": "player",
    "tvmonitor": "tv monitor",
    "diningtable": "dining table",
    "pottedplant": "potted plant",
}

_COCO_NAMES = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat"),
    *("traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog"),
    *("horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella"),
    *("handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite"),
    *("baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle"),
    *("wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange"),
    *("broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant"),
    *("bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone"),
    *("microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors"),
    *("teddy bear", "hair drier", "toothbrush"),
)


_COCO_PROMPT_NAMES = {
    "mouse": "computer mouse",
    "remote": "remote control",
    "tie": "necktie",
    "orange": "orange fruit",
    "hair drier": "hair dryer",
}
"""Words for names that alone could be read as an animal, a color, a verb, or a rare spelling."""

_COCO_IDS_WITHOUT_CLASS = frozenset({12, 26, 29, 30, 45, 66, 68, 69, 71, 83})


def catalogue_from_names(
    names: Sequence[str], prompt_names: Mapping[str, str] | None = None, category_ids: Sequence[int] = ()
) -> ClassCatalogue:
    """Build a catalogue from class names and, for some of them, the words for the VLM.

    Args:
        names: Class names in order: class k has value k + 1 in masks.
        prompt_names: Class name -> words for it in prompts; other classes use their names.
        category_ids: The data set's own number of each class; empty if it has none.

    Raises:
        ConfigError: Names are missing, blank, repeated or more than 254, or an alias belongs to no class.
    """
    aliases = prompt_names or {}
    for name in names:
        if name != name.strip() or not name or "|" in name:
            raise ConfigError(f'class name {name!r}: blanks around it or "|" in it; remove them')
        if name == "background":
            raise ConfigError('class "background": background always exists, as value 0; leave it out')
    for key, words in aliases.items():
        if key not in names:
            raise ConfigError(f'prompt name for "{key}": there is no such class{did_you_mean(key, names)}')
        if not words.strip():
            raise ConfigError(f'prompt name for "{key}": blank; give words, or leave the entry out')
    try:
        prompts = tuple(aliases.get(name, name) for name in names)
        return ClassCatalogue(tuple(names), prompts, tuple(category_ids))
    except ValueError as error:
        raise ConfigError(f"classes: {error}") from error


def voc_palette() -> list[int]:
    """Return the color map of PASCAL VOC as 768 values: R, G and B of index 0, then of index 1, and so on.

    The bits of an index are dealt in turn to red, green and blue, its lowest bits to the highest bits of the
    color (VOC development kit, ``VOCcolormap``). Index 0 is black and index 255, ignore, is (224, 224, 192).
    """
    return [_spread_bits(index >> channel) for index in range(256) for channel in range(3)]


def _spread_bits(bits: int) -> int:
    """Move bits 0, 3 and 6 of an index to bits 7, 6 and 5 of a color."""
    return (bits & 1) << 7 | (bits >> 3 & 1) << 6 | (bits >> 6 & 1) << 5


PALETTE = np.array(voc_palette(), dtype=np.uint8).reshape(256, 3)
"""Color [256, 3] of each mask value."""

VOC = catalogue_from_names(_VOC_NAMES, _VOC_PROMPT_NAMES)
"""The 20 classes of PASCAL VOC 2012, in its order; prompt names as in the paper (docs/method.md)."""

COCO = catalogue_from_names(
    _COCO_NAMES, _COCO_PROMPT_NAMES, [number for number in range(1, 91) if number not in _COCO_IDS_WITHOUT_CLASS]
)
"""The 80 classes of MS COCO, in the order of their category ids; prompt names are ours. Masks use VOC's colors."""
