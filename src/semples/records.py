"""Records that the packages exchange, validated when they are created."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

IGNORE_INDEX = 255
"""Value of a mask pixel that is neither background nor a class."""

_SAFE_ID = re.compile(r"[^/\\\0]+(/[^/\\\0]+)*")


class MaskSource(Protocol):
    """Draws ground-truth masks, on demand, from a file that holds many, such as annotations in JSON."""

    def draw(self, sample: Sample) -> NDArray[np.uint8]:
        """Return the mask of a sample, uint8 [H, W]: 0 background, k + 1 for class k, 255 ignore."""


@dataclass(frozen=True)
class Sample:
    """One image of a data set, with its tags and the location of its mask.

    Attributes:
        id: Unique name in the data set, with ``/`` between folders and no file suffix; output files are named by it.
        path: The image file.
        size: Height and width in pixels, after EXIF rotation.
        tags: Indices (0-based) of the classes present, ascending; background is not a class here.
        mask_path: File that holds the ground-truth mask (0 background, k + 1 for class k, 255 ignore), or None.
            Only ``semples.data.truth`` reads it, for the evaluate stage and the supervised bound.
        mask_source: Draws the mask if the file is not itself the mask.
    """

    id: str
    path: Path
    size: tuple[int, int]
    tags: tuple[int, ...]
    mask_path: Path | None = None
    mask_source: MaskSource | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not _SAFE_ID.fullmatch(self.id) or ".." in self.id.split("/"):
            raise ValueError(f"sample id {self.id!r} cannot name a file inside the run directory")
        if min(self.size) < 1:
            raise ValueError(f"sample {self.id!r} has size {self.size}, expected at least 1 x 1")
        if list(self.tags) != sorted(set(self.tags)) or any(tag < 0 for tag in self.tags):
            raise ValueError(f"sample {self.id!r} has tags {self.tags}, expected ascending indices without repeats")


@dataclass(frozen=True)
class ClassCatalogue:
    """Names of the object classes of a data set, without background.

    Attributes:
        names: The data set's own names, in order: class k has value k + 1 in masks.
        prompt_names: The first phrase of each class for the vision-language model.
        category_ids: The data set's own number of each class, if it has any (COCO's run to 90 with gaps), for files
            that its tools read; empty if mask values are the only numbers.
        synonyms: Further phrases of each class, which count as much as its prompt name; empty if there are none.
        suggestions: Further phrases of each class that are used if the vision-language model knows them; empty if there
            are none.
    """

    names: tuple[str, ...]
    prompt_names: tuple[str, ...]
    category_ids: tuple[int, ...] = ()
    synonyms: tuple[tuple[str, ...], ...] = ()
    suggestions: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        if not self.names:
            raise ValueError("a catalogue needs at least one class")
        if len(self.names) > 254:
            raise ValueError(f"{len(self.names)} classes, but 8-bit masks hold at most 254")
        if len(set(self.names)) != len(self.names):
            raise ValueError(
                f"class names repeat: {sorted(n for n in self.names if self.names.count(n) > 1)}; give each its own"
            )
        if len(self.prompt_names) != len(self.names):
            raise ValueError(f"{len(self.prompt_names)} prompt names for {len(self.names)} classes")
        for what in ("synonyms", "suggestions"):
            if (count := len(getattr(self, what))) not in (0, len(self.names)):
                raise ValueError(f"{count} lists of {what} for {len(self.names)} classes")
        if self.category_ids and len(set(self.category_ids)) != len(self.names):
            raise ValueError(f"{len(set(self.category_ids))} different category ids for {len(self.names)} classes")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def phrases(self) -> tuple[tuple[str, ...], ...]:
        """Phrases of each class: its prompt name, then its synonyms."""
        synonyms = self.synonyms or ((),) * len(self)
        return tuple((name, *others) for name, others in zip(self.prompt_names, synonyms, strict=True))

    def is_own_word(self, index: int, word: str) -> bool:
        """Return whether a word, in any case, is the name of a class (0-based) or a phrase of it, used or suggested."""
        suggested = self.suggestions[index] if self.suggestions else ()
        own = (self.names[index], *self.phrases[index], *suggested)
        return word.casefold() in {phrase.casefold() for phrase in own}


@dataclass(frozen=True)
class Dataset:
    """A training split with tags, a held-out split, which may be empty, and their classes."""

    catalogue: ClassCatalogue
    train: tuple[Sample, ...]
    val: tuple[Sample, ...]

    def __post_init__(self) -> None:
        if not self.train:
            raise ValueError("the training split is empty")
        for split in (self.train, self.val):
            ids = [sample.id for sample in split]
            if len(set(ids)) != len(ids):
                raise ValueError("sample ids repeat inside a split")
            highest = max((max(sample.tags, default=-1) for sample in split), default=-1)
            if highest >= len(self.catalogue):
                raise ValueError(f"a tag has index {highest}, but there are {len(self.catalogue)} classes")
