"""Generates masks of tagged photographs in memory with the mask generator that a run trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semples.data.crops import to_pixels
from semples.data.images import read_image
from semples.errors import ConfigError, DataError, did_you_mean
from semples.inference.cams import tagged_cams
from semples.inference.cutting import refined_label_maps
from semples.models.generators.base import MaskGenerator as Network
from semples.rundir.layout import CAM_STAGES
from semples.rundir.threshold import read_threshold
from semples.runtime.context import Run
from semples.runtime.setup import reopen_run

Photograph = Path | str | NDArray[np.uint8]
"""A file (turned upright by its EXIF orientation), or RGB uint8 [H, W, 3]."""


class MaskGenerator:
    """The trained mask generator of a run with the run's inference settings: photograph and tags in, masks out.

    Its network is a :class:`semples.models.generators.base.MaskGenerator`.

    Args:
        run: The run.
        network: The network, ready for inference on the run's device.

    Attributes:
        classes: Names of the K classes: class k has value k + 1 in masks.
    """

    def __init__(self, run: Run, network: Network) -> None:
        self.network = network
        self.classes = run.dataset.catalogue.names
        self._run = run

    @classmethod
    def from_run(cls, run: Path | str, stage: str | None = None, device: str | None = None) -> MaskGenerator:
        """Open the mask generator in a run directory.

        Args:
            run: The run directory.
            stage: "classify", "match" or "refine"; None takes the one whose CAMs the run cuts.
            device: "cpu", "cuda", "mps" or "auto"; None uses the run's setting.

        Raises:
            ConfigError: The stage does not exist or trains no mask generator.
            DataError: ``run`` is not a run directory.
            RunError: The stage is not done.
        """
        opened = reopen_run(Path(run), device)
        stage = stage or opened.pseudo_mask_source
        if stage not in CAM_STAGES:
            raise ConfigError(f'stage: "{stage}" trains no mask generator; expected one of {", ".join(CAM_STAGES)}')
        return cls(opened, opened.models.load_generator(stage))

    def cams(self, image: Photograph, tags: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Return the class activation map of each tag: float32 [H, W] in [0, 1], over all scales of ``cams.scales``.

        Args:
            image: The photograph.
            tags: Names of the classes in it.

        Raises:
            DataError: The image cannot be read, or a tag is not a class.
        """
        maps = self._maps(_pixels(image), self._indices(tags)).cpu().numpy()
        return dict(zip(tags, maps, strict=True))

    def mask(self, image: Photograph, tags: Sequence[str]) -> NDArray[np.uint8]:
        """Return the pseudo mask, refined like the run's masks: uint8 [H, W], 0 background, k + 1 for class k.

        All classes are cut at the run's threshold, even with criterion prompts_image, by which the run itself chooses
        a threshold for each of its images and classes.

        Args:
            image: The photograph.
            tags: Names of the classes in it.

        Raises:
            DataError: The image cannot be read, or a tag is not a class.
            RunError: Stage 4 is not done.
        """
        pixels, indices = _pixels(image), self._indices(tags)
        maps = (self._maps(pixels, indices) * 255).round() / 255  # as the run's files hold them
        steps = [step.step() for step in self._run.config.refinement_steps().values()]
        classes = torch.tensor(indices, device=maps.device)
        threshold = read_threshold(self._run.directory.threshold).threshold
        labels = refined_label_maps(pixels.to(maps.device), maps, classes, steps, threshold)[-1]
        return np.asarray(labels.cpu().numpy())

    def _maps(self, pixels: Tensor, indices: Sequence[int]) -> Tensor:
        """Return CAMs [P, H, W] in [0, 1] of P classes in an image [3, H, W], at the run's precision."""
        run, settings = self._run, self._run.config.cams
        batch = pixels[None].to(run.device)
        affinity = (run.models.affinity_steps, run.config.mask_generator.affinity_threshold)
        with run.accelerator.autocast():
            (cams,) = tagged_cams(
                self.network, batch, [indices], len(self.classes), settings.scales, settings.flip, *affinity
            )
        return cams

    def _indices(self, tags: Sequence[str]) -> list[int]:
        if isinstance(tags, str) or not tags:
            raise DataError(f"tags: found {tags!r}; expected a list with at least one of {', '.join(self.classes)}")
        unknown = next((tag for tag in tags if tag not in self.classes), None)
        if unknown is not None:
            nearest = did_you_mean(unknown, self.classes)
            raise DataError(
                f'tags: "{unknown}" is not a class of this run; expected any of {", ".join(self.classes)}{nearest}'
            )
        return [self.classes.index(tag) for tag in tags]


def _pixels(image: Photograph) -> Tensor:
    """Return the pixels [3, H, W] in [0, 1] of a photograph."""
    array = read_image(Path(image)) if isinstance(image, Path | str) else image
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise DataError(f"image: found {array.dtype} {list(array.shape)}; expected RGB uint8 [H, W, 3] or a file")
    return to_pixels(array)
