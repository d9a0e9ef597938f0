"""Stage 4: cut the best CAMs there are into masks."""

from __future__ import annotations

import torch

from semples.data.images import write_mask
from semples.masks import label_map
from semples.stages.cams import read_cams
from semples.stages.run import Run


def final_generator(guided: bool) -> str:
    """Name of the stage whose CAMs become pseudo masks."""
    return "refine" if guided else "classify"


def pseudo_masks(run: Run) -> None:
    """Write ``ID.png`` for every training image that has none: 0 background, k + 1 for class k."""
    source = run.folder(final_generator(run.config.guidance.enabled))
    missing = [s for s in run.dataset.train if not (run.folder("pseudo-masks") / f"{s.id}.png").is_file()]
    for sample in run.log.track(missing, "pseudo masks"):
        cams, classes = read_cams(source, sample)
        maps = torch.from_numpy(cams).float() / 255
        mask = label_map(maps, torch.from_numpy(classes), run.config.pseudo_masks.threshold)
        write_mask(run.folder("pseudo-masks") / f"{sample.id}.png", mask.numpy())
