"""Write `benchmarks/context_nouns.json`: for each class, the nouns that captions mention with it.

    python tools/context_nouns.py --captions FLICKR8K.csv captions_val2017.json --out benchmarks/context_nouns.json

It is the yardstick for prompts on photographs, made from captions alone: a learned prompt is right if the noun of
`vocabulary` nearest to it is among the `contexts` of its class. A judge leaves out the words its model does not know.

The captions are Flickr8k's, `data/ignore_captions.txt` of quantumnaan/sic_translator at d27da85, and those of COCO 2017
val (CC BY 4.0), `annotations/captions_val2017.json` of ruizewang/evaluate at 1152656.

**Vocabulary.** Nouns of things and places around objects, found by the words before and after them (see
`caption_nouns`). Left out are VOC's classes and their kinds, people and animals included, and COCO's classes except
those that things rest on or in (bed, bench, sink, toilet). "Table" stays, because it means more than VOC's dining
table; "sofa" and "chair" do not. Clothing and parts of bodies belong to the object: they are left out too, found as
nouns that are worn ("wearing a hat") or owned ("its mouth").

**Contexts.** A photograph shows a class if at least two of its captions have a phrase for it, and mentions a noun,
singular or plural, if one has it. With s(c) the share of the photographs of class c that mention the noun, a context of
c is a noun in at least `--least-photos` of them for which s(c) is above the mean of s over the other classes by one
standard error of the log ratio. s(c) is the mean of the shares in the sources, so that the scenery of the source with
most photographs of a class is not all that counts: Flickr8k's dogs are outdoors. Before a share is taken, 10
photographs with the source's overall share of the noun are added, which steadies the shares of rare classes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caption_nouns import class_phrases, place_nouns
from photo_data import read_captions, split_words
from semples.data.plurals import plural
from semples.files import write_json

CLASSES = ("cat", "cow", "dog", "horse", "person", "sheep")
PRIOR = 10
"""Photographs of a source's average that are added to those of each class."""
SHOWN = 2
"""Captions of a photograph that must name a class."""
CONFIDENCE = 1.0
"""Standard errors by which the log ratio of a context must be above 0."""


@dataclass(frozen=True)
class Counts:
    """Photographs of one source.

    Attributes:
        photos: All photographs.
        mentions: Photographs that mention each noun [nouns].
        shown: Photographs that show each class [classes].
        joint: Photographs of each class that mention each noun [classes][nouns].
    """

    photos: int
    mentions: list[int]
    shown: list[int]
    joint: list[list[int]]

    def share(self, row: int, noun: int) -> tuple[float, float]:
        """Estimate the share of a class's photographs that mention a noun; return it with its variance."""
        size = self.shown[row] + PRIOR
        share = (self.joint[row][noun] + PRIOR * self.mentions[noun] / self.photos) / size
        return share, share * (1 - share) / size


def count_nouns(photos: Collection[Sequence[str]], classes: Sequence[str], nouns: Sequence[Collection[str]]) -> Counts:
    """Count the photographs that show classes and mention nouns.

    Args:
        photos: Captions of each photograph.
        classes: Names of VOC or COCO classes.
        nouns: Forms of each noun.
    """
    phrases = [class_phrases(name) for name in classes]
    counts = Counts(len(photos), [0] * len(nouns), [0] * len(classes), [[0] * len(nouns) for _ in classes])
    for captions in photos:
        texts = [f" {' '.join(split_words(caption))} " for caption in captions]
        words = {word for text in texts for word in text.split()}
        mentioned = [number for number, forms in enumerate(nouns) if not words.isdisjoint(forms)]
        for number in mentioned:
            counts.mentions[number] += 1
        for row, names in enumerate(phrases):
            if sum(any(f" {phrase} " in text for phrase in names) for text in texts) >= SHOWN:
                counts.shown[row] += 1
                for number in mentioned:
                    counts.joint[row][number] += 1
    return counts


def lower_bounds(sources: Sequence[Counts], noun: int) -> list[float]:
    """Return the lower confidence bound of the log of each class's share over the mean share of the other classes.

    Args:
        sources: Counts of two classes at least; at least one mentions the noun.
        noun: Its number.
    """
    shares, variances = [], []
    for row in range(len(sources[0].shown)):
        estimates = [counts.share(row, noun) for counts in sources]
        shares.append(sum(share for share, _ in estimates) / len(sources))
        variances.append(sum(variance for _, variance in estimates) / len(sources) ** 2)
    bounds = []
    for share, variance in zip(shares, variances, strict=True):
        others = (sum(shares) - share) / (len(shares) - 1)
        others_variance = (sum(variances) - variance) / (len(shares) - 1) ** 2
        error = math.sqrt(variance / share**2 + others_variance / others**2)
        bounds.append(math.log(share / others) - CONFIDENCE * error)
    return bounds


def find_contexts(
    sources: Sequence[Collection[Sequence[str]]], vocabulary: Sequence[str], classes: Sequence[str], least: int
) -> dict[str, list[str]]:
    """Find the nouns of each class, the surest first.

    Args:
        sources: Captions of each photograph of each source.
        vocabulary: Nouns; a singular and its plural are counted together, and are contexts together.
        classes: Names of VOC or COCO classes, two at least.
        least: Photographs of the class that must mention the noun.
    """
    nouns = join_plurals(vocabulary)
    counted = [count_nouns(photos, classes, nouns) for photos in sources]
    found: list[list[tuple[float, list[str]]]] = [[] for _ in classes]
    for number, forms in enumerate(nouns):
        for row, bound in enumerate(lower_bounds(counted, number)):
            if bound > 0 and sum(counts.joint[row][number] for counts in counted) >= least:
                found[row].append((-bound, forms))
    return {
        name: [form for _, forms in sorted(nouns_of_class) for form in forms]
        for name, nouns_of_class in zip(classes, found, strict=True)
    }


def join_plurals(vocabulary: Sequence[str]) -> list[list[str]]:
    """Join each noun with its plural, if the vocabulary has both."""
    known = set(vocabulary)
    joined = {word: [word, plural(word)] for word in vocabulary if plural(word) in known - {word}}
    plurals = {many for _, many in joined.values()}
    return [joined.get(word, [word]) for word in vocabulary if word not in plurals]


def describe(path: Path, photos: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Describe a source: its file's name and SHA-256, photographs and captions."""
    return {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "photographs": len(photos),
        "captions": sum(map(len, photos.values())),
    }


def main() -> None:
    """Read the captions, write the lists, and print them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--captions", type=Path, nargs="+", required=True, help="CSV or COCO's JSON")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--classes", type=lambda names: tuple(names.split(",")), default=CLASSES)
    parser.add_argument("--least-captions", type=int, default=20, help="captions that have a noun of the vocabulary")
    parser.add_argument("--least-photos", type=int, default=3, help="photographs of a class that mention a context")
    args = parser.parse_args()
    files = {path: read_captions(path) for path in args.captions}
    photos = [list(read.values()) for read in files.values()]
    texts = (caption for source in photos for captions in source for caption in captions)
    vocabulary = place_nouns(texts, args.least_captions)
    contexts = find_contexts(photos, vocabulary, args.classes, args.least_photos)
    command = (
        f"python tools/context_nouns.py --captions {' '.join(path.name for path in args.captions)} "
        f"--classes {','.join(args.classes)} --least-captions {args.least_captions} "
        f"--least-photos {args.least_photos} --out benchmarks/context_nouns.json"
    )
    sources = [describe(path, read) for path, read in files.items()]
    result = {"vocabulary": vocabulary, "contexts": contexts, "sources": sources, "command": command}
    write_json(args.out, result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
