"""Models and batches that benchmarks measure: the bundled models, and published sizes with random weights.

Equal seeds give equal weights, so that two forms of a computation can be compared across processes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor
from transformers import (
    CLIPConfig,
    CLIPModel,
    DeiTConfig,
    DeiTModel,
    PreTrainedTokenizerFast,
    ResNetConfig,
    ResNetModel,
)

from semples.data.scenes import CONTEXTS, OBJECTS
from semples.models.backbones import Backbone, load_backbone
from semples.models.generators.base import MaskGenerator
from semples.models.generators.cam.generator import CamGenerator
from semples.models.generators.weaktr.generator import assemble_weaktr
from semples.models.layers.folding import fold_batch_norms
from semples.models.loading import IMAGENET_MEAN, IMAGENET_STD, load_pretrained, load_tokenizer, resolve
from semples.models.vision_language.loading import ADAPTERS, BUNDLED
from semples.models.vision_language.model import VisionLanguageModel

IMAGENET = (IMAGENET_MEAN, IMAGENET_STD)
COMMON = 22.0
"""Length of the direction that all features of a random CLIP share: cosines are about 0.5, so that none is clamped."""


@dataclass(frozen=True)
class Sizes:
    """The models and batches to measure.

    Attributes:
        name: "bundled" or "real".
        classes: K.
        vision_language: For real sizes, "b32" or "b16".
        generator: For real sizes, "weaktr" (DeiT-S) or "cam" (ResNet-50).
        images: Images in a training step.
        pairs: Pairs in a step of prompts.
        precision: Precision of the package: "fp32" or "bf16".
    """

    name: str
    classes: int
    vision_language: str = "b32"
    generator: str = "weaktr"
    images: int = 8
    pairs: int = 128
    precision: str = "fp32"

    @property
    def is_real(self) -> bool:
        """Whether these are published sizes, with random weights."""
        return self.name == "real"

    @property
    def side(self) -> int:
        """Side of training crops in pixels."""
        return 224 if self.is_real else 128

    @property
    def prompt_length(self) -> int:
        """Number of learned vectors of a prompt."""
        return 30 if self.is_real else 4

    @property
    def photographs(self) -> tuple[tuple[int, int], ...]:
        """Sizes of the images of inference."""
        return ((224, 224), (375, 500)) if self.is_real else ((96, 96),)

    @property
    def scales(self) -> tuple[float, ...]:
        """Scales of inference: of the paper's VOC recipe, or the bundled default."""
        return (1.0, 1.2) if self.is_real else (1.33, 2.0)

    @property
    def names(self) -> tuple[str, ...]:
        """Class names, one token each."""
        if self.is_real:
            return tuple(f"object{chr(97 + k // 26)}{chr(97 + k % 26)}" for k in range(self.classes))
        words = (*OBJECTS, *CONTEXTS)
        return tuple(words[k % len(words)] for k in range(self.classes))


def transformers_model(sizes: Sizes) -> tuple[Any, Any, tuple[tuple[float, ...], tuple[float, ...]]]:
    """Return the vision-language model of transformers, its tokenizer, and its mean and standard deviation."""
    if not sizes.is_real:
        source = resolve("bundled", BUNDLED)
        model = load_pretrained("AutoModel", source)
        return model.eval(), load_tokenizer(source, model.config.text_config.vocab_size), _statistics(model)
    torch.manual_seed(0)
    tokenizer = _word_tokenizer(sizes.names)
    text = {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id, "pad_token_id": 0}
    vision = {"patch_size": 16 if sizes.vision_language == "b16" else 32}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision)).eval()
    _share_a_direction(model)
    return model, tokenizer, _statistics(model)


def _statistics(model: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    adapter = ADAPTERS[model.config.model_type]
    return adapter.mean, adapter.std


def build_vision_language(sizes: Sizes) -> VisionLanguageModel:
    """Build the frozen vision-language model as the stages use it."""
    model, tokenizer, statistics = transformers_model(sizes)
    adapter = ADAPTERS[model.config.model_type](model, tokenizer)
    return VisionLanguageModel(adapter, *statistics, score="cosine")


def build_generator(sizes: Sizes) -> MaskGenerator:
    """Build the mask generator as stages 1 and 3 use it, with a frozen trunk."""
    torch.manual_seed(1)
    generator: MaskGenerator
    if sizes.is_real and sizes.generator == "weaktr":
        generator = assemble_weaktr(deit_small(), sizes.classes, IMAGENET)
    else:
        backbone = load_backbone("bundled", frozen=True) if not sizes.is_real else _folded(resnet_50())
        torch.manual_seed(2)
        generator = CamGenerator(backbone, sizes.classes)
    generator.freeze_trunk()
    return generator.train()


def deit_small() -> Any:
    """Build a DeiT-S/16 with random weights."""
    torch.manual_seed(1)
    return DeiTModel(
        DeiTConfig(hidden_size=384, num_attention_heads=6, intermediate_size=1536), add_pooling_layer=False
    )


def resnet_50() -> Any:
    """Build a ResNet-50, the default of transformers, with random weights."""
    torch.manual_seed(1)
    return ResNetModel(ResNetConfig()).eval()


def make_batch(sizes: Sizes) -> dict[str, Tensor]:
    """Return random pixels [B, 3, S, S], and labels [B, K] with one class in each image and two in half of them."""
    draw = torch.Generator().manual_seed(3)
    labels = torch.zeros(sizes.images, sizes.classes)
    for image in range(sizes.images):
        labels[image, image % sizes.classes] = 1
        if image % 2:
            labels[image, (image + sizes.classes // 2) % sizes.classes] = 1
    return {"pixels": smooth(draw, sizes.images, (sizes.side, sizes.side)), "labels": labels}


def smooth(draw: torch.Generator, count: int, size: tuple[int, int]) -> Tensor:
    """Return images [count, 3, H, W] in [0, 1], the mean of smooth noise at two scales."""
    fine, coarse = (torch.rand(count, 3, *grid, generator=draw) for grid in ((24, 32), (5, 7)))
    resized = [torch.nn.functional.interpolate(m, size, mode="bilinear", align_corners=False) for m in (fine, coarse)]
    return (resized[0] + resized[1]) / 2


def _folded(model: Any) -> Backbone:
    backbone = Backbone(model, *IMAGENET)
    backbone.requires_grad_(False)
    forward: Callable[[], Any] = lambda: backbone.eval()(torch.zeros(1, 3, 64, 64))  # noqa: E731
    fold_batch_norms(backbone, forward)
    return backbone


@torch.no_grad()
def _share_a_direction(model: CLIPModel) -> None:
    """Give all features of a random CLIP a common direction, as the features of trained ones have."""
    direction = torch.nn.functional.normalize(torch.randn(model.config.projection_dim), dim=0)
    for norm, project in (
        (model.vision_model.post_layernorm, model.visual_projection),
        (model.text_model.final_layer_norm, model.text_projection),
    ):
        norm.bias.copy_(torch.linalg.pinv(project.weight) @ (COMMON * direction))


def _word_tokenizer(names: tuple[str, ...]) -> Any:
    """Build a tokenizer with one token for each word of the template and each class, between CLIP's start and end.

    "cat" and "boat" are among them because the package encodes both to find the tokens around a class name.
    """
    vocabulary = ("<pad>", "<unk>", "<s>", "</s>", ".", "a", "photo", "of", "cat", "boat", *names)
    tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(vocabulary)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        bos_token="<s>",
        unk_token="<unk>",
        model_max_length=77,
    )
