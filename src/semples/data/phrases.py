"""Built-in synonyms of the classes of PASCAL VOC and MS COCO, within their annotators' definitions of the classes."""

from __future__ import annotations

from collections.abc import Container

_PERSON = ("person", "man", "woman", "boy", "girl", "people", "child")
_MOTORCYCLE = ("motorbike", "motorcycle", "scooter")
_PLANE = ("aeroplane", "airplane", "plane", "aircraft")

SYNONYMS: dict[str, tuple[str, ...]] = {
    "aeroplane": _PLANE,
    "airplane": _PLANE,
    "backpack": ("rucksack",),
    "baseball glove": ("baseball mitt",),
    "bear": ("brown bear", "polar bear"),
    "bench": ("park bench",),
    "bicycle": ("bike",),
    "boat": ("ship", "sailing boat", "rowing boat"),
    "bus": ("double-decker bus",),
    "car": ("automobile",),
    "cat": ("kitten",),
    "cell phone": ("mobile phone", "smartphone"),
    "chair": ("armchair", "deckchair"),
    "clock": ("wall clock",),
    "couch": ("sofa",),
    "cow": ("cattle", "calf", "bull"),
    "cup": ("mug",),
    "dining table": ("dinner table",),
    "diningtable": ("dinner table",),
    "dog": ("puppy",),
    "donut": ("doughnut",),
    "fire hydrant": ("hydrant",),
    "frisbee": ("flying disc",),
    "hair drier": ("blow dryer",),
    "handbag": ("purse",),
    "horse": ("pony", "foal"),
    "keyboard": ("computer keyboard",),
    "laptop": ("laptop computer",),
    "microwave": ("microwave oven",),
    "motorbike": _MOTORCYCLE,
    "motorcycle": _MOTORCYCLE,
    "oven": ("kitchen stove",),
    "person": _PERSON,
    "potted plant": ("houseplant",),
    "pottedplant": ("houseplant",),
    "refrigerator": ("fridge",),
    "remote": ("tv remote",),
    "sandwich": ("burger",),
    "sheep": ("lamb",),
    "sink": ("wash basin",),
    "sofa": ("couch",),
    "sports ball": ("ball", "soccer ball", "tennis ball"),
    "suitcase": ("luggage",),
    "tennis racket": ("racket",),
    "toilet": ("toilet bowl",),
    "traffic light": ("traffic signal",),
    "train": ("locomotive",),
    "truck": ("lorry", "pickup truck"),
    "tv": ("television", "computer monitor"),
    "tvmonitor": ("television", "computer monitor"),
    "umbrella": ("parasol",),
}
"""Class name -> further phrases; names without a good synonym are left out."""


def synonyms_except(named: Container[str]) -> dict[str, tuple[str, ...]]:
    """Return the synonyms of all names except these, which the user has given phrases of their own."""
    return {name: phrases for name, phrases in SYNONYMS.items() if name not in named}
