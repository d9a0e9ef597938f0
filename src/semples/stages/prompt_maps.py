"""Maps of where the learned prompts find their background, for the images that the report shows."""

from __future__ import annotations

import numpy as np

from semples.data.crops import to_pixels
from semples.data.subsets import evenly_spaced
from semples.inference.cams import image_labels, quantize
from semples.method.masks import upsample_cams
from semples.models.vision_language.grad_cam import grad_cams
from semples.parallel.processes import shard
from semples.rundir.layout import map_file
from semples.rundir.maps import write_maps
from semples.runtime.context import Run


def prompt_maps(run: Run) -> None:
    """Write ``ID.safetensors`` for the training images that the report shows, in the layout of CAM files.

    Each map is the Grad-CAM of the prompt of a class that is present, contrasted with the texts of all classes: it
    shows which parts of the image match the prompt rather than an object. Its maximum is 1. Classes that stage 3 leaves
    out have none.
    """
    vision_language = run.models.vision_language
    prompts, texts = run.models.prompt_features(), run.models.class_features()
    left_out = set(run.models.left_out_classes().nonzero().flatten().tolist())
    shown = shard(evenly_spaced(range(len(run.dataset.train)), run.config.report.images))
    for index in run.log.track(shown, "prompt maps"):
        sample = run.dataset.train[index]
        pixels = to_pixels(run.train_images[index])[None].to(run.device)
        tags = [tag for tag in sample.tags if tag not in left_out]
        labels = image_labels([tags], run.num_classes).to(run.device)
        cut = vision_language.cut(pixels)
        maps = grad_cams(cut, prompts, texts, labels, vision_language.logit_scale)
        at_image_size = upsample_cams(maps, sample.size, align_corners=False)[0, tags].clamp(0, 1)
        path = map_file(run.directory.prompt_maps, sample.id)
        write_maps(path, quantize(at_image_size).numpy(), np.array(tags, np.int64))
