"""Draw docs/teaser.png from a finished run: image, CAM of stage 0, CAM of stage 3, pseudo mask, prediction, truth.

python tools/make_teaser.py runs/demo docs/teaser.png --images 4
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from safetensors.numpy import load_file

from semples.data.images import read_image
from semples.data.overlays import heat_overlay, mask_overlay
from semples.files import read_json

TITLES = ("image", "CAM of the classifier", "CAM after refinement", "pseudo mask", "trained network", "truth")
SIDE, GAP, HEADER = 192, 8, 26


def pictures_of(run: Path, name: str, path: Path) -> list[NDArray[np.uint8]]:
    """Return the six pictures of one image, in the order of :data:`TITLES`."""
    image = read_image(path)
    pictures = [image]
    for stage in ("0-classify", "3-refine"):
        cams = load_file(run / stage / "cams" / f"{name}.safetensors")["cams"]
        pictures.append(heat_overlay(image, cams.max(axis=0)))
    for folder in ("4-pseudo-masks", "6-evaluate/predictions", "6-evaluate/truth"):
        pictures.append(mask_overlay(image, np.array(Image.open(run / folder / f"{name}.png"))))
    return pictures


def main() -> None:
    """Draw the chosen images of the report, one per row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", type=int, default=4)
    args = parser.parse_args()
    paths = {entry["id"]: Path(entry["path"]) for entry in read_json(args.run / "dataset.json")["train"]}
    names = read_json(args.run / "6-evaluate" / "samples.json")["train"][: args.images]
    width = len(TITLES) * (SIDE + GAP) - GAP
    sheet = Image.new("RGB", (width, HEADER + len(names) * (SIDE + GAP) - GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(TITLES):
        draw.text((column * (SIDE + GAP) + 2, 5), title, "black", ImageFont.load_default(14))
    for row, name in enumerate(names):
        for column, picture in enumerate(pictures_of(args.run, name, paths[name])):
            tile = Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.NEAREST)
            sheet.paste(tile, (column * (SIDE + GAP), HEADER + row * (SIDE + GAP)))
    sheet.save(args.out)


if __name__ == "__main__":
    main()
