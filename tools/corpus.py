"""Random scenes with captions, on which the bundled models are pretrained.

Objects and contexts are drawn independently, so that no pair is more frequent than another. A caption is a handful of
facts; a text matches an image when the image's caption states all facts of the text. No mask is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semples.data.scenes import COLORS, CONTEXTS, OBJECTS, PATTERNS, Placement, draw_scene

STYLES = ("bright", "blurry", "noisy")
SYNONYMS = {
    "ship": "boat", "locomotive": "train", "aircraft": "plane", "automobile": "car", "kitten": "cat",
    "home": "house", "lamb": "sheep", "parasol": "umbrella", "blossom": "flower", "toadstool": "mushroom",
}  # fmt: skip
FUNCTION_WORDS = ("a", "photo", "of", "on", "and")

FIELDS: tuple[tuple[str, ...], ...] = (
    OBJECTS,
    tuple(COLORS),
    PATTERNS,
    CONTEXTS,
)
"""Facts that a caption can state about a placement: object, color, pattern, context."""
OBJECT, COLOR, PATTERN, CONTEXT = range(4)

WORDS: tuple[str, ...] = (
    *OBJECTS, *CONTEXTS, *COLORS, *PATTERNS, *STYLES, *SYNONYMS, *FUNCTION_WORDS,
)  # fmt: skip
"""All words of the captions. None of them describes the effect of masking (gray, dim, nothing, faded)."""

UNSAID = -1
"""Index of a fact that a caption or text does not state."""


@dataclass(frozen=True)
class Captioned:
    """Images and the facts of their captions.

    Attributes:
        images: uint8 [N, H, W, 3].
        placements: int8 [N, 2, 4], an index into each of FIELDS or UNSAID; rows of UNSAID where there is one placement.
        style: int8 [N], index into STYLES or UNSAID.
    """

    images: NDArray[np.uint8]
    placements: NDArray[np.int8]
    style: NDArray[np.int8]

    def labels(self, column: int) -> NDArray[np.float32]:
        """Return which words of FIELDS[column] the captions name: [N, words] in {0, 1}."""
        labels = np.zeros((len(self.images), len(FIELDS[column])), np.float32)
        for slot in range(self.placements.shape[1]):
            index = self.placements[:, slot, column]
            labels[np.flatnonzero(index >= 0), index[index >= 0]] = 1
        return labels


@dataclass(frozen=True)
class Query:
    """A text and the facts that it states: up to two placements, and a style or UNSAID."""

    text: str
    placements: NDArray[np.int8]
    style: int = UNSAID


def random_placements(rng: np.random.Generator) -> tuple[Placement, ...]:
    """Draw one or two placements: objects on contexts, objects on plain ground, and contexts alone."""

    def random_placement() -> Placement:
        kind = rng.random()
        name = str(rng.choice(OBJECTS)) if kind < 0.75 else None
        context = str(rng.choice(CONTEXTS)) if kind < 0.55 or kind >= 0.75 else None
        return Placement(name, context)

    if rng.random() < 0.55:
        return (random_placement(),)
    return random_placement(), random_placement()


def degrade(rng: np.random.Generator, image: NDArray[np.uint8], style: str) -> NDArray[np.uint8]:
    """Apply the named style to a uint8 [H, W, 3] image."""
    pixels: NDArray[np.floating[Any]] = image.astype(np.float32)
    if style == "bright":
        pixels = pixels * 1.15 + 45
    elif style == "blurry":
        for axis in (0, 1):
            pixels = np.mean([np.roll(pixels, shift, axis) for shift in range(-2, 3)], axis=0)
    elif style == "noisy":
        pixels = pixels + rng.normal(0, 28, pixels.shape)
    return np.asarray(np.clip(pixels, 0, 255), np.uint8)


def draw_captioned(seed: int, size: int, styled: float = 0.25) -> tuple[NDArray[np.uint8], NDArray[np.int8], int]:
    """Draw one random scene; return image, facts and style. The same seed gives the same bytes.

    Args:
        seed: Seed of the scene.
        size: Side in pixels.
        styled: Share of the scenes that get a style.
    """
    rng = np.random.default_rng(seed)
    placements = random_placements(rng)
    scene = draw_scene(rng, size, placements)
    facts = np.full((2, len(FIELDS)), UNSAID, np.int8)
    for row, placement, appearance in zip(facts, placements, scene.appearances, strict=False):
        words = (appearance.color, appearance.pattern) if appearance else ()
        said = {placement.object, placement.context, *words}
        for column, field in enumerate(FIELDS):
            row[column] = next((i for i, word in enumerate(field) if word in said), UNSAID)
    style = int(rng.integers(len(STYLES))) if rng.random() < styled else UNSAID
    image = degrade(rng, scene.image, STYLES[style]) if style >= 0 else scene.image
    return image, facts, style


def word_queries() -> list[Query]:
    """Return a text "a photo of WORD." for every word that states a fact."""
    queries = []
    for column, field in enumerate(FIELDS):
        for index, word in enumerate(field):
            queries.append(Query(f"a photo of {word}.", _stating({column: index})))
    for word, meaning in SYNONYMS.items():
        queries.append(Query(f"a photo of {word}.", _stating({OBJECT: OBJECTS.index(meaning)})))
    queries += [Query(f"a photo of {word}.", _stating({}), style=i) for i, word in enumerate(STYLES)]
    return queries


def _stating(first: dict[int, int], second: dict[int, int] | None = None) -> NDArray[np.int8]:
    stated = np.full((2, len(FIELDS)), UNSAID, np.int8)
    for row, facts in zip(stated, (first, second or {}), strict=True):
        for column, index in facts.items():
            row[column] = index
    return stated


def random_query(rng: np.random.Generator, placements: NDArray[np.int8]) -> Query:
    """Return a random text that states some of the facts of one image, given as placements int8 [2, 4]."""
    rows = [row for row in placements if row[OBJECT] != UNSAID or row[CONTEXT] != UNSAID]
    if not rows:
        return Query("a photo.", _stating({}))
    chosen = [rows[i] for i in rng.permutation(len(rows))[: 2 if rng.random() < 0.4 else 1]]
    kept = [{c: int(row[c]) for c in _kept_columns(rng, row)} for row in chosen]
    phrases = [_phrase(rng, facts) for facts in kept]
    opening = ("a photo of ", "", "photo of ")[rng.choice(3, p=(0.7, 0.2, 0.1))]
    return Query(f"{opening}{' and '.join(phrases)}.", _stating(*kept))


def _kept_columns(rng: np.random.Generator, row: NDArray[np.int8]) -> list[int]:
    known = [c for c in range(len(row)) if row[c] != UNSAID]
    if OBJECT not in known:
        return [column for column in known if column == CONTEXT]
    kept = [c for c in known if rng.random() < (0.85, 0.35, 0.25, 0.55)[c]]
    return kept if OBJECT in kept or CONTEXT in kept else [*kept, OBJECT]


def _phrase(rng: np.random.Generator, facts: dict[int, int]) -> str:
    words = {column: FIELDS[column][index] for column, index in facts.items()}
    parts = [words[column] for column in (PATTERN, COLOR) if column in words]
    if OBJECT in words:
        synonyms = [synonym for synonym, meaning in SYNONYMS.items() if meaning == words[OBJECT]]
        parts.append(synonyms[0] if synonyms and rng.random() < 0.25 else words[OBJECT])
    if parts and rng.random() < 0.5:
        parts.insert(0, "a")
    if CONTEXT in words:
        parts += ["on", words[CONTEXT]] if parts else [words[CONTEXT]]
    return " ".join(parts)


def matches(captioned: Captioned, indices: NDArray[np.int64], queries: list[Query]) -> NDArray[np.bool_]:
    """Return which texts match which images: bool [len(indices), len(queries)].

    A text matches when some placement of the image has all facts of each placement of the text, and the styles agree.
    """
    facts = captioned.placements[indices][:, None, :, None, :]
    stated = np.stack([query.placements for query in queries])[None, :, None, :, :]
    met = ((stated == UNSAID) | (stated == facts)).all(-1).any(2).all(-1)
    style = np.array([query.style for query in queries])
    return np.asarray(met & ((style == UNSAID) | (style == captioned.style[indices, None])))
