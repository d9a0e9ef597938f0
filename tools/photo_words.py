"""Class names, synonyms and context words that the photo model must know."""

from __future__ import annotations

COCO_CLASSES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
    "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
"""The 80 classes of COCO in the order of their contiguous numbers."""

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""The 20 classes of PASCAL VOC in the order of their numbers."""

PHRASES = {
    "person": ("person", "man", "woman", "boy", "girl", "people", "child"),
    "bicycle": ("bicycle", "bike"),
    "car": ("car", "automobile"),
    "motorcycle": ("motorcycle", "motorbike"),
    "airplane": ("airplane", "aeroplane", "plane", "jet"),
    "bus": ("bus",),
    "train": ("train", "locomotive"),
    "boat": ("boat", "ship"),
    "bird": ("bird", "birds"),
    "cat": ("cat", "kitten", "kitty"),
    "dog": ("dog", "puppy", "dogs"),
    "horse": ("horse", "pony", "horses"),
    "sheep": ("sheep", "lamb"),
    "cow": ("cow", "cattle", "bull"),
    "bottle": ("bottle", "bottles"),
    "chair": ("chair", "chairs"),
    "couch": ("couch", "sofa"),
    "potted plant": ("potted plant", "plant", "pottedplant"),
    "dining table": ("dining table", "table", "diningtable"),
    "tv": ("tv", "television", "tv monitor", "tvmonitor", "monitor"),
    "cell phone": ("cell phone", "mobile phone", "phone"),
    "refrigerator": ("refrigerator", "fridge"),
    "remote": ("remote", "remote control"),
    "sports ball": ("sports ball", "ball"),
    "donut": ("donut", "doughnut"),
    "backpack": ("backpack", "rucksack"),
    "handbag": ("handbag", "purse"),
    "teddy bear": ("teddy bear", "stuffed toy"),
    "hair drier": ("hair drier", "hair dryer"),
    "truck": ("truck", "lorry"),
    "bench": ("bench",),
}
"""COCO class -> phrases that name it, the commonest first. Classes that are absent have their own name only."""

VOC_TO_COCO = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}
"""VOC class -> COCO class, where the names differ."""

CONTEXT_WORDS = (
    "grass", "field", "sky", "forest", "tree", "road", "street", "fence", "water", "sea", "ocean", "lake", "river",
    "beach", "sand", "snow", "mountain", "hill", "rock", "ground", "dirt", "wall", "floor", "carpet", "rug", "room",
    "kitchen", "bedroom", "window", "door", "building", "house", "farm", "barn", "meadow", "pasture", "hay", "leaves",
    "cloud", "rail", "rails", "track", "platform", "runway", "airport", "dock", "harbor", "pavement", "sidewalk",
    "pillow", "blanket", "curtain", "desk", "cushion", "garden", "park", "stage", "crowd", "pool", "ceiling", "land",
    "foliage", "ice", "mud", "path", "bridge", "city", "wood", "background", "plants", "flowers", "bush", "shore",
)  # fmt: skip
"""Words for what surrounds objects."""

TEMPLATES = (
    "a photo of {}.", "a photo of {}.", "a photo of the {}.", "a picture of {}.", "a photograph of {}.", "there is {}.",
    "{}.", "{} in the photo.",
)  # fmt: skip
"""Sentences around a class name or a list of them; the first is the package's default."""

IMAGENET_GROUPS = {
    "dog": range(151, 269),
    "cat": range(281, 286),
    "bird": (*range(7, 25), *range(80, 101), *range(127, 147)),
    "horse": range(339, 340),
    "cow": range(345, 346),
    "sheep": range(348, 350),
    "fish": (*range(7), *range(389, 398)),
    "snake": range(52, 69),
    "monkey": range(365, 383),
    "car": (407, 436, 468, 511, 627, 656, 661, 751, 817),
    "boat": (472, 510, 554, 576, 625, 628, 724, 780, 814, 871, 914),
    "bicycle": (444, 671),
    "airplane": (404, 895),
    "bus": (654, 779, 874),
    "train": (466, 547, 705, 820, 829),
    "truck": (555, 569, 717, 864, 867),
    "chair": (423, 559, 765),
    "couch": (831,),
    "bottle": (440, 720, 737, 898, 899, 901, 907),
    "tv": (664, 851),
}
"""Common word -> numbers of ImageNet classes that it covers, added to their names in sentences."""


def phrases_of(name: str) -> tuple[str, ...]:
    """List the phrases that name a VOC or COCO class, beginning with its common name."""
    common = VOC_TO_COCO.get(name, name)
    return PHRASES.get(common, (common,))
