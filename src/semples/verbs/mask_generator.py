"""Masks of tagged photographs in memory, from the mask generator that a run trained."""

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
from semples.runtime.run import Run
from semples.runtime.setup import reopen_run
from semples.stages.pseudo_masks import refinement_steps

Photograph = Path | str | NDArray[np.uint8]
"""A file (upright after its EXIF orientation), or RGB uint8 [H, W, 3]."""


class MaskGenerator:
    """The trained mask generator of a run, with its settings of inference: photograph and tags in, masks out.

    The network inside is a :class:`semples.models.generators.base.MaskGenerator`.

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
            stage: "classify", "match" or "refine"; None takes the one whose masks the run uses.
            device: "cpu", "cuda", "mps" or "auto"; None takes what the run's settings say.

        Raises:
            ConfigError: There is no such stage.
            DataError: That is no run directory.
            RunError: The stage is not done.
        """
        opened = reopen_run(Path(run), device)
        stage = stage or opened.pseudo_mask_source
        if stage not in CAM_STAGES:
            raise ConfigError(f"stage {stage} leaves no mask generator, expected one of {', '.join(CAM_STAGES)}")
        return cls(opened, opened.models.load_generator(stage))

    def cams(self, image: Photograph, tags: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Return the class activation map of each tag: float32 [H, W] in [0, 1], over all scales of ``cams.scales``.

        Args:
            image: The photograph.
            tags: Names of the classes in it.

        Raises:
            DataError: The image cannot be read, or a tag is no class.
        """
        maps = self._maps(_pixels(image), self._indices(tags)).cpu().numpy()
        return dict(zip(tags, maps, strict=True))

    def mask(self, image: Photograph, tags: Sequence[str]) -> NDArray[np.uint8]:
        """Return the pseudo mask, refined as the run's are: uint8 [H, W], 0 background, k + 1 for class k.

        It is cut at the run's threshold, for all classes; by criterion prompts_image the run itself gives each of its
        images and classes one of its own.

        Args:
            image: The photograph.
            tags: Names of the classes in it.

        Raises:
            DataError: The image cannot be read, or a tag is no class.
            RunError: Stage 4 is not done.
        """
        pixels, indices = _pixels(image), self._indices(tags)
        maps = (self._maps(pixels, indices) * 255).round() / 255  # as the run's files hold them
        steps = list(refinement_steps(self._run.config).values())
        classes = torch.tensor(indices, device=maps.device)
        threshold = read_threshold(self._run.directory.threshold).threshold
        labels = refined_label_maps(pixels.to(maps.device), maps, classes, steps, threshold)[-1]
        return np.asarray(labels.cpu().numpy())

    def _maps(self, pixels: Tensor, indices: Sequence[int]) -> Tensor:
        """CAMs [P, H, W] in [0, 1] of P classes in an image [3, H, W], in the arithmetic of the run."""
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
            raise DataError(f"tags are {tags!r}, expected a list with at least one of {', '.join(self.classes)}")
        unknown = next((tag for tag in tags if tag not in self.classes), None)
        if unknown is not None:
            nearest = did_you_mean(unknown, self.classes)
            raise DataError(
                f'tags: "{unknown}" is not a class of this run; expected any of {", ".join(self.classes)}{nearest}'
            )
        return [self.classes.index(tag) for tag in tags]


def _pixels(image: Photograph) -> Tensor:
    """Pixels [3, H, W] in [0, 1] of a photograph."""
    array = read_image(Path(image)) if isinstance(image, Path | str) else image
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise DataError(f"expected RGB uint8 [H, W, 3] or a file, got {array.dtype} {list(array.shape)}")
    return to_pixels(array)
