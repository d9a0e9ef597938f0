"""Where the learned prompts see their background: maps for the report, of the images that it shows."""

from __future__ import annotations

import torch

from semples.data.crops import to_pixels
from semples.data.subsets import evenly
from semples.inference.cams import image_labels
from semples.method.masks import upsample_cams
from semples.models.generators.clip import grad_cams
from semples.parallel.processes import share
from semples.runtime.run import Run, save_tensors


def prompt_maps(run: Run) -> None:
    """Write ``ID.safetensors`` for the training images that the report shows, in the layout of CAM files.

    A map is the Grad-CAM of a present class's prompt against the texts of all classes: what in the image speaks for
    the prompt and not for an object. Its maximum is 1.
    """
    vision_language = run.vision_language
    vectors = run.load_prompts()
    with torch.no_grad():
        prompts = vision_language.encode_prompts(vectors)
        texts = vision_language.encode_classes(list(run.dataset.catalogue.prompt_names))
    shown = share(evenly(range(len(run.dataset.train)), run.config.report.images))
    for index in run.log.track(shown, "prompt maps"):
        sample = run.dataset.train[index]
        pixels = to_pixels(run.train_images[index])[None].to(run.device)
        labels = image_labels([sample.tags], run.num_classes).to(run.device)
        cut = vision_language.cut(pixels)
        maps = grad_cams(cut, prompts, texts, labels, vision_language.logit_scale)
        classes = torch.tensor(sample.tags, dtype=torch.int64)
        at_size = upsample_cams(maps, sample.size, align_corners=False)[0, classes.to(run.device)]
        quantized = (at_size.clamp(0, 1) * 255).round().to(torch.uint8)
        save_tensors(run.folder("prompt-maps") / f"{sample.id}.safetensors", {"cams": quantized, "classes": classes})
