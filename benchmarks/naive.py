"""The method in its most straightforward form, as a baseline for the package.

Everything is float32. The weights of the vision-language model are not frozen, so that autograd computes gradients for
them too. Texts and prompts are encoded in every step, padded to the model's full length. Regions pass through the image
encoder one at a time. Stage 2 recomputes every background in every epoch. WeakTr gets its attention maps from
transformers and stacks them. Inference runs image by image, scale by scale, and mirror images separately.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semples.models.generators.cam.generator import CamGenerator
from semples.models.generators.weaktr.generator import WeakTrGenerator
from semples.models.loading import load_pretrained, resolve
from semples.models.vision_language.loading import BUNDLED
from sizes import IMAGENET, Sizes, build_generator, resnet_50, transformers_model


class VisionLanguage:
    """A transformers CLIP or ALIGN, used through its own methods."""

    def __init__(self, sizes: Sizes) -> None:
        self.model, self.tokenizer, (mean, std) = transformers_model(sizes)
        self.mean, self.std = (torch.tensor(values).view(3, 1, 1) for values in (mean, std))
        self.size = self.model.config.vision_config.image_size
        self.length = self.model.config.text_config.max_position_embeddings

    def encode_image(self, image: Tensor) -> Tensor:
        """Encode one image [3, H, W] to a feature [D]."""
        size = (self.size, self.size)
        if image.shape[1:] != size:
            image = F.interpolate(image[None], size, mode="bilinear", align_corners=False, antialias=True)[0]
        pixels = (image - self.mean) / self.std
        return F.normalize(self.model.get_image_features(pixel_values=pixels[None]).pooler_output[0], dim=0)

    def encode_texts(self, names: Sequence[str]) -> Tensor:
        """Encode K class names to features [K, D]."""
        texts = [f"a photo of {name}." for name in names]
        tokens = self.tokenizer(texts, padding="max_length", max_length=self.length, return_tensors="pt")
        inputs = {key: tokens[key] for key in ("input_ids", "attention_mask")}
        return F.normalize(self.model.get_text_features(**inputs).pooler_output, dim=-1)

    def encode_prompts(self, vectors: Tensor) -> Tensor:
        """Encode learned vectors [K, L, W] inside the template to features [K, D]."""
        before, after = self._template()
        length = before.shape[1] + vectors.shape[1] + after.shape[1]
        embeddings = torch.cat([_repeat_for_each(before, vectors), vectors, _repeat_for_each(after, vectors)], dim=1)
        padding = self._embed([[self.tokenizer.pad_token_id] * (self.length - length)])
        embeddings = torch.cat([embeddings, _repeat_for_each(padding, vectors)], dim=1)
        if self.model.config.model_type == "align":
            mask = (torch.arange(self.length) < length).long().expand(len(vectors), -1)
            output = self.model.get_text_features(inputs_embeds=embeddings, attention_mask=mask)
            return F.normalize(output.pooler_output, dim=-1)
        text = self.model.text_model
        causal = torch.full((self.length, self.length), float("-inf")).triu(1)[None, None]
        hidden = text.encoder(inputs_embeds=text.embeddings(inputs_embeds=embeddings), attention_mask=causal)
        pooled = text.final_layer_norm(hidden.last_hidden_state)[:, length - 1]
        return F.normalize(self.model.text_projection(pooled), dim=-1)

    def _template(self) -> tuple[Tensor, Tensor]:
        ids = self.tokenizer("a photo of a.")["input_ids"]
        return self._embed([ids[:-3]]), self._embed([ids[-2:]])

    def _embed(self, ids: list[list[int]]) -> Tensor:
        embedded: Tensor = self.model.text_model.get_input_embeddings()(torch.tensor(ids, dtype=torch.long))
        return embedded


class StackedWeakTr(nn.Module):
    """WeakTr whose layers return their attention maps, which are stacked, weighted and summed."""

    divide_by_peak = False

    def __init__(self, generator: WeakTrGenerator) -> None:
        super().__init__()
        self.generator, self.head = generator, generator.head
        generator.trunk.attentions[0].config._attn_implementation = "eager"  # one config, shared by all layers

    def head_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that are trained."""
        return self.generator.head_parameters()

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute the fine CAMs [B, K, h, w]."""
        generator, layers = self.generator, cast(list[Any], self.generator.trunk.layers)
        with torch.no_grad():
            hidden, grid = generator.trunk.embed(generator.normalize_pixels(pixels))
            maps, pooled = [], []
            for layer in layers:
                output, attention = layer.attention(layer.layernorm_before(hidden))
                hidden = hidden + output
                hidden = hidden + layer.mlp(layer.layernorm_after(hidden))
                maps.append(attention)
                pooled.append(generator.fusion.pool_layer(output))
            stacked = torch.stack(maps, dim=2).flatten(1, 2)  # [B, N, T, T], head by head
        gates = generator.fusion(pooled)
        fused = (stacked * gates[..., None, None]).sum(1) / gates.shape[1]
        classes = generator.num_classes
        coarse = F.relu(self.head(hidden[:, classes:].transpose(1, 2).unflatten(2, grid)))
        cams = fused[:, :classes, classes:].unflatten(2, grid) * coarse
        fine: Tensor = cams.flatten(2) @ fused[:, classes:, classes:].transpose(1, 2)
        maps_of_classes: Tensor = fine.unflatten(2, grid)
        return maps_of_classes


class PlainCam(nn.Module):
    """A backbone as transformers loads it, and a convolution."""

    divide_by_peak = True

    def __init__(self, backbone: Any, head: nn.Conv2d, statistics: tuple[tuple[float, ...], ...]) -> None:
        super().__init__()
        self.backbone, self.head = backbone.eval().requires_grad_(False), head
        self.mean, self.std = (torch.tensor(values).view(3, 1, 1) for values in statistics)

    def head_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that are trained."""
        return list(self.head.parameters())

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute CAMs [B, K, h, w]."""
        features = self.backbone(pixel_values=(pixels - self.mean) / self.std).last_hidden_state
        return F.relu(self.head(features))


Generator = StackedWeakTr | PlainCam


def build_naive_generator(sizes: Sizes) -> Generator:
    """Build the generator of :func:`sizes.build_generator` with the same weights, in its straightforward form."""
    generator = build_generator(sizes)
    if isinstance(generator, WeakTrGenerator):
        return StackedWeakTr(generator)
    assert isinstance(generator, CamGenerator)
    if sizes.is_real:
        return PlainCam(resnet_50(), generator.head, IMAGENET)
    tower = load_pretrained("AutoModel", resolve("bundled", BUNDLED)).vision_model
    normalize = generator.backbone.normalize_pixels
    mean, std = normalize.mean, normalize.std
    return PlainCam(tower, generator.head, (tuple(mean.flatten().tolist()), tuple(std.flatten().tolist())))


@dataclass(frozen=True)
class Weights:
    """Weights of the losses."""

    background: float = 2.4
    suppress: float = 0.05
    text: float = 0.02


def guided_loss(
    model: VisionLanguage,
    generator: Generator,
    names: Sequence[str],
    batch: dict[str, Tensor],
    weights: Weights,
    vectors: Tensor | None = None,
) -> Tensor:
    """Return the loss of stage 1, or, with learned vectors [K, L, W], of stage 3."""
    texts = model.encode_texts(names)
    prompts = None if vectors is None else model.encode_prompts(vectors)
    cams = generator(batch["pixels"])
    losses = []
    for image, image_cams, labels in zip(batch["pixels"], cams, batch["labels"], strict=True):
        for k, label in enumerate(labels):
            if label == 0:
                continue
            inside, outside = _regions(image, _soft_mask(image_cams[k], image, 0.1, generator.divide_by_peak), model)
            foreground, background = model.encode_image(inside), model.encode_image(outside)
            loss = -_score(foreground, texts[k]).log()
            loss = loss - weights.background * (1 - _score(background, texts[k])).log()
            if prompts is not None:
                loss = loss - weights.suppress * (1 - _score(foreground, prompts[k])).log()
            losses.append(loss)
    return torch.stack(losses).mean()


def prompts_loss(
    model: VisionLanguage,
    generator: Generator,
    names: Sequence[str],
    batch: dict[str, Tensor],
    weights: Weights,
    vectors: Tensor,
) -> Tensor:
    """Return the loss of stage 2 on the images of a batch; their backgrounds are computed and encoded here."""
    texts, prompts = model.encode_texts(names), model.encode_prompts(vectors)
    losses = []
    for k, background in background_features(model, generator, batch):
        losses.append(-_score(background, prompts[k]).log() + weights.text * _score(texts[k], prompts[k]).log())
    return torch.stack(losses).mean()


def background_features(
    model: VisionLanguage, generator: Generator, batch: dict[str, Tensor]
) -> Iterator[tuple[int, Tensor]]:
    """Yield the class and the background feature [D] of each pair."""
    for image, labels in zip(batch["pixels"], batch["labels"], strict=True):
        with torch.no_grad():
            cams = generator(image[None])[0]
        for k, label in enumerate(labels):
            if label == 0:
                continue
            _, outside = _regions(image, _soft_mask(cams[k], image, 1e-4, generator.divide_by_peak), model)
            yield k, model.encode_image(outside)


@torch.no_grad()
def multiscale_cams(generator: Generator, image: Tensor, scales: Sequence[float]) -> Tensor:
    """Return the CAMs [K, H, W] in [0, 1] of one image [3, H, W], summed over scales and mirror images."""
    height, width = image.shape[1:]
    summed = torch.zeros(1)
    for scale in scales:
        scaled = image[None]
        if scale != 1:
            size = (round(height * scale), round(width * scale))
            scaled = F.interpolate(scaled, size, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
        for mirrored in (False, True):
            cams = generator(scaled.flip(-1) if mirrored else scaled)
            cams = F.interpolate(cams, (height, width), mode="bilinear", align_corners=False)[0]
            summed = summed + (cams.flip(-1) if mirrored else cams)
    low, high = summed.amin((1, 2), keepdim=True), summed.amax((1, 2), keepdim=True)
    return (summed - low) / (high - low + 1e-8)


def _soft_mask(cam: Tensor, image: Tensor, eps: float, divide_by_peak: bool) -> Tensor:
    if divide_by_peak and cam.max() > 0:
        cam = cam / cam.max().detach()
    cam = F.interpolate(cam[None, None], image.shape[1:], mode="bilinear", align_corners=True)[0, 0]
    return (cam - cam.min()) / (cam.max() - cam.min() + eps)


def _regions(image: Tensor, mask: Tensor, model: VisionLanguage) -> tuple[Tensor, Tensor]:
    return mask * image + (1 - mask) * model.mean, (1 - mask) * image + mask * model.mean


def _score(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum().clamp(1e-4, 1 - 1e-4)


def _repeat_for_each(embeddings: Tensor, vectors: Tensor) -> Tensor:
    return embeddings.expand(len(vectors), -1, -1)
