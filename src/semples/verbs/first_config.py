"""``semples init``: a commented first config fitted to a folder of images, and warnings about the data."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median

from semples.config.loading import load_config
from semples.config.registry import READERS, reader_config
from semples.data.catalogues import COCO, VOC
from semples.data.images import image_size
from semples.data.phrases import SYNONYMS
from semples.data.plurals import plain_words
from semples.errors import DataError
from semples.files import write_text
from semples.records import ClassCatalogue, Dataset

FEW_IMAGES = 20
"""Number of training images of a class below which a warning is given."""

SHORT_SIDES = (340, 490)
"""Pixels of the shorter side of a photograph at which generator dense reads it: small models of 224 px see parts of
objects in larger ones."""

_TEMPLATE = """\
# {title}
#
#   semples doctor --config {file}    # checks that everything is in place
#   semples run --config {file}
#
# `semples run --config {file} --print_config` shows every setting.
data:
  reader: {reader}
  root: {root}
{order}  prompt_names: {prompt_names}  # class -> word or [words] that a vision-language model knows best

# Models: "bundled" ones come with the package and need no network. They are small. Better ones are in the commented
# lines: any other in transformers format will do, by folder or by hub name, which a run downloads once.
vision_language:
  model: bundled  # knows everyday words; for research only
  # model: openai/clip-vit-base-patch16  # or any CLIP, SigLIP or ALIGN

# The vision-language model itself, place by place: only the prompts are trained.
mask_generator:
  name: dense
  image_size: {size}  # side of the images from which prompts are learned; the median shorter side of yours is {side}

# What always comes with a class is learned as a mixture of nouns, from the places outside of its masks.
prompts:
  kind: mixtures  # or vectors, as in the paper: for a large model
  regions: places
  learning_rate: 0.1  # 0.01 for vectors
  words: bundled  # 270 nouns; or your own, in a text file, if your images do not show everyday life

cams:
  scales: {scales}  # of the image, summed: the shorter side then has about {short_sides} pixels

# Or a classifier whose head is trained. Put these lines in place of the three sections above:
#
# mask_generator:
#   name: cam
#   backbone: bundled  # an ImageNet MobileNetV2; or microsoft/resnet-50, or any other ImageNet backbone
#   output_stride: {stride}  # input pixels per CAM pixel: smaller is finer and slower
#   image_size: {size}  # side of the training crops
#   freeze_backbone: false
# cams:
#   scales: [1.0, 1.5]  # they enclose the scale of the training crops
# prompts:
#   words: null
# classify:
#   batch_size: {batch}
#   accumulation: 4  # parts of a batch, one after the other, to save memory
#   learning_rate: 1.0e-3
#   backbone_rate: 0.05
# match:
#   batch_size: {batch}
#   learning_rate: 5.0e-4
# refine:
#   batch_size: {batch}
#   learning_rate: 5.0e-4
# guidance:
#   enabled: true  # false: masks from the classifier alone, without a vision-language model

pseudo_masks:
  threshold: null  # chosen without masks; or a CAM value from 0 to 1: try some with the report's slider

segment:
  model: bundled  # DeepLab on an ImageNet MobileNetV2
  # model: nvidia/mit-b0  # SegFormer, for non-commercial use; or any other segmentation or backbone checkpoint
  batch_size: {batch}  # fits the number of images; lower it if memory runs out
  learning_rate: 5.0e-4  # of the new head; pretrained weights learn at a tenth of it
  backbone_rate: 0.1
  image_size: {size}
  smallest_scale: 0.75
  largest_scale: 1.5
  scales: [1.0]  # more, such as [1.0, 1.5], are slightly better and proportionally slower
"""


@dataclass(frozen=True)
class Start:
    """Findings of :func:`init`, and the file it wrote.

    Attributes:
        config: The file.
        reader: Layout of the folder, a value of ``data.reader``.
        images: Number of training and held-out images.
        per_class: Training images by class, in mask order.
        warnings: Sentences about data that may be insufficient.
    """

    config: Path
    reader: str
    images: tuple[int, int]
    per_class: dict[str, int]
    warnings: tuple[str, ...]


def init(folder: Path | str, config: Path | str | None = None) -> Start:
    """Inspect a folder of images and write a config to start from.

    Args:
        folder: Images with tags.csv or one sub-folder per class, a VOC folder, or COCO annotations with images.
        config: File to write; ``NAME.yaml`` of the folder, in the working directory, if None.

    Raises:
        DataError: The folder has none of these layouts, something in it cannot be read, or the file exists.
    """
    folder = Path(folder)
    target = Path(f"{folder.absolute().name}.yaml") if config is None else Path(config)
    if target.exists():
        raise DataError(f"{target}: already exists; remove it, or name another file with --out")
    reader = layout_of(folder)
    config_class = reader_config(reader)
    dataset = config_class(reader=reader, root=str(folder)).read(folder, seed=0, size_of=image_size)
    text = _config_text(folder, target, reader, dataset)
    write_text(target, text)
    load_config(target)
    counts = Counter(tag for sample in dataset.train for tag in sample.tags)
    per_class = {name: counts[index] for index, name in enumerate(dataset.catalogue.names)}
    images = (len(dataset.train), len(dataset.val))
    return Start(target, reader, images, per_class, tuple(_warnings(dataset, per_class)))


def layout_of(folder: Path) -> str:
    """Return the reader that recognizes a folder; that reader says what is wrong with it.

    Raises:
        DataError: The folder does not exist.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: not a folder; give the one that holds your images")
    return next(name for name in READERS if reader_config(name).recognizes(folder))


def suggested_prompt_name(name: str) -> str:
    """Return words for a class: VOC's or COCO's if it is one of theirs, else its name as plain words.

    A plain name with built-in synonyms is kept: other words, such as VOC's "player" for person, would replace them.

    >>> suggested_prompt_name("tvmonitor"), suggested_prompt_name("fire_truck"), suggested_prompt_name("trafficLight")
    ('tv monitor', 'fire truck', 'traffic light')
    """
    for catalogue in (VOC, COCO):
        if name in catalogue.names:
            words = catalogue.prompt_names[catalogue.names.index(name)]
            if name not in SYNONYMS or words.replace(" ", "") == name:
                return words
    return plain_words(name)


def _config_text(folder: Path, target: Path, reader: str, dataset: Dataset) -> str:
    names = dataset.catalogue.names
    suggested = {name: suggested_prompt_name(name) for name in names}
    known = _with_built_in_phrases(dataset.catalogue)
    side = int(median(min(sample.size) for sample in dataset.train))
    order = (
        f"  classes: {_flow(list(names))}  # in mask order: 1, 2, ...\n"
        if any(each.name == "classes" for each in fields(reader_config(reader)))
        else ""
    )
    return _TEMPLATE.format(
        title=f"{len(dataset.train)} training and {len(dataset.val)} held-out images of {len(names)} classes.",
        file=target.name,
        reader=reader,
        root=_flow(str(folder)),
        order=order,
        prompt_names=_flow({name: words for name, words in suggested.items() if words != name and name not in known}),
        stride=8 if side <= 128 else 16,
        size=min(320, max(64, side // 32 * 32)),
        side=side,
        scales=[round(short / side, 2) for short in SHORT_SIDES],
        short_sides=" and ".join(map(str, SHORT_SIDES)),
        batch=_batch_size(len(dataset.train)),
    )


def _with_built_in_phrases(catalogue: ClassCatalogue) -> set[str]:
    """Return the classes with phrases of the reader's own, which an entry in the config would replace."""
    suggestions = catalogue.suggestions or ((),) * len(catalogue)
    triples = zip(catalogue.names, catalogue.prompt_names, suggestions, strict=True)
    return {name for name, words, further in triples if further and words == suggested_prompt_name(name)}


def _flow(value: object) -> str:
    """Write a value on one line as JSON, which is also YAML and quotes every text."""
    return json.dumps(value, ensure_ascii=False)


def _batch_size(images: int) -> int:
    """Return the largest power of two from 2 to 16 that leaves about ten steps per epoch."""
    return max(size for size in (2, 4, 8, 16) if size == 2 or size <= images / 10)


def _warnings(dataset: Dataset, per_class: dict[str, int]) -> list[str]:
    few = [f"{name} ({count})" for name, count in per_class.items() if count < FEW_IMAGES]
    found = []
    if few:
        found.append(f"fewer than {FEW_IMAGES} training images: {', '.join(few)}; add more, or leave these classes out")
    if len(dataset.catalogue) == 1:
        found.append("only one class: a classifier needs others to tell it apart; add images of something else")
    if not dataset.val:
        found.append("no held-out images: predictions will cover the training images only")
    if not any(sample.mask_path for sample in (*dataset.train, *dataset.val)):
        found.append("no masks: there will be no scores; add a few masks/ID.png of held-out images to get some")
    return found
