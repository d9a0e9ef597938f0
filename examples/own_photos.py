"""Your own photographs from Python: train, look at one mask, predict for photographs without tags.

python examples/own_photos.py photos.yaml photos/beach-01.jpg boat,person holiday

``semples init photos`` writes photos.yaml. Finished stages are not computed again.
"""

from __future__ import annotations

import sys
from pathlib import Path

from semples import MaskGenerator, Pipeline, predict


def main(config: str, image: str, tags: str, new_images: str) -> None:
    """Run the pipeline of a config, print the classes found in one image, and write masks for new images."""
    run = Pipeline(config).run()
    for id, path in run.masks.items():
        print(f"{id}: {path}")
    if run.evaluation is not None:  # if there is ground truth
        print(f"mIoU of the pseudo masks: {run.evaluation['pseudo_masks']['miou']:.3f}")
    generator = MaskGenerator.from_run(run.directory)
    mask = generator.mask(image, tags.split(","))  # uint8 [H, W]: 0 background, k + 1 for class k
    for value, name in enumerate(("background", *generator.classes)):
        print(f"{name}: {(mask == value).mean():.1%} of {Path(image).name}")
    written = predict(run.directory, new_images, out=run.directory / "predicted")
    print(f"{len(written)} masks in {run.directory / 'predicted'}")


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit("usage: python examples/own_photos.py CONFIG IMAGE TAG,TAG NEW_IMAGES")
    main(*sys.argv[1:])
