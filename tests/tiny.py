"""Tiny random models in the real formats, and tiny settings, for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AlignConfig,
    AlignModel,
    CLIPConfig,
    CLIPModel,
    CLIPTokenizer,
    ConvNextConfig,
    ConvNextModel,
    DeiTConfig,
    DeiTModel,
    EfficientNetConfig,
    EfficientNetModel,
    MobileNetV2Config,
    MobileNetV2Model,
    PreTrainedTokenizerFast,
    ResNetConfig,
    ResNetModel,
    SegformerConfig,
    SegformerForImageClassification,
    Siglip2Config,
    Siglip2Model,
    SiglipConfig,
    SiglipModel,
    ViTConfig,
    ViTModel,
)

WORDS = ("a", "photo", "of", "cat", "boat", "water", "grass", "sailing")
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def write_preprocessor(folder: Path, size: int) -> None:
    """Write a preprocessor_config.json with a mean and deviation unlike any default."""
    content = {"image_mean": MEAN, "image_std": STD, "size": {"height": size, "width": size}}
    (folder / "preprocessor_config.json").write_text(json.dumps(content))


def word_tokenizer(begin: bool, max_length: int) -> Any:
    """One token per word, with <s> in front for CLIP, </s> at the end, padded with <pad>."""
    names = ("<pad>", "<unk>", "<s>", "</s>", ".", *WORDS)
    tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(names)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>" if begin else "$A </s>", special_tokens=[("<s>", 2), ("</s>", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        bos_token="<s>",
        cls_token="<s>",
        sep_token="</s>",
        unk_token="<unk>",
        model_max_length=max_length,
    )


def sentence_tokenizer(max_length: int) -> Any:
    """Like SigLIP 2's: ▁ in front of words, no lower-casing, and padding on the left unless told otherwise."""
    names = ("<pad>", "<eos>", "<bos>", "<unk>", ".", *(f"▁{word}" for word in WORDS))
    tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(names)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()])
    tokenizer.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<eos>",
        bos_token="<bos>",
        unk_token="<unk>",
        padding_side="left",
        model_max_length=max_length,
    )


def letter_tokenizer() -> CLIPTokenizer:
    """CLIP's own tokenizer before it learned any word: letters, those that end a word marked by </w>."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)] + ["."]
    names = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={name: i for i, name in enumerate(names)}, merges=[], model_max_length=77)


def _tower(width: int) -> dict[str, int]:
    return {"hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": 2, "num_attention_heads": 2}


def save_clip(folder: Path, activation: str = "quick_gelu", tokenizer: Any = None) -> Path:
    """A CLIP of random weights with text width 12, image width 16, joint space 8.

    Its activation is OpenAI's "quick_gelu" or LAION's "gelu".
    """
    torch.manual_seed(0)
    tokenizer = tokenizer or word_tokenizer(True, 16)
    special = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    text = {"vocab_size": len(tokenizer), "max_position_embeddings": tokenizer.model_max_length, **special}
    both = {"projection_dim": 8, "hidden_act": activation}
    config = CLIPConfig(
        text_config={**_tower(12), **text, **both},
        vision_config={**_tower(16), "image_size": 24, "patch_size": 8, **both},
        projection_dim=8,
    )
    CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_preprocessor(folder, 24)
    return folder


def save_clip_of_letters(folder: Path) -> Path:
    """A CLIP of random weights with the tokenizer of the published ones, and their 77 positions."""
    return save_clip(folder, tokenizer=letter_tokenizer())


def save_segformer(folder: Path) -> Path:
    """A SegFormer encoder as published: trained to classify, without a decoder."""
    torch.manual_seed(0)
    config = SegformerConfig(
        hidden_sizes=[8, 8, 8, 8],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 1, 1, 1],
        decoder_hidden_size=8,
        sr_ratios=[8, 4, 2, 1],
    )
    SegformerForImageClassification(config).save_pretrained(folder)
    write_preprocessor(folder, 32)
    return folder


def save_siglip(folder: Path, tokenizer: Any = None) -> Path:
    """A SigLIP of random weights with text and image width 16."""
    torch.manual_seed(0)
    text = {"vocab_size": 5 + len(WORDS), "max_position_embeddings": 16, "eos_token_id": 3, "bos_token_id": 2}
    config = SiglipConfig(
        text_config={**_tower(16), **text, "pad_token_id": 0, "projection_size": 16},
        vision_config={**_tower(16), "image_size": 24, "patch_size": 8},
    )
    model = SiglipModel(config)
    torch.nn.init.constant_(model.logit_scale, 2.0)
    torch.nn.init.constant_(model.logit_bias, -3.0)
    model.save_pretrained(folder)
    (tokenizer or word_tokenizer(False, 16)).save_pretrained(folder)
    write_preprocessor(folder, 24)
    return folder


def save_siglip2(folder: Path) -> Path:
    """A SigLIP 2 of fixed resolution: on the hub a model of type "siglip" with another tokenizer."""
    return save_siglip(folder, sentence_tokenizer(16))


def save_naflex(folder: Path) -> Path:
    """A SigLIP 2 of any aspect ratio, which has a type of its own."""
    text = {"vocab_size": 5 + len(WORDS), "max_position_embeddings": 16, "projection_size": 16}
    config = Siglip2Config(
        text_config={**_tower(16), **text}, vision_config={**_tower(16), "num_patches": 9, "patch_size": 8}
    )
    Siglip2Model(config).save_pretrained(folder)
    return folder


def save_align(folder: Path) -> Path:
    """An ALIGN of random weights with text width 12 and joint space 16."""
    torch.manual_seed(0)
    text = {"vocab_size": 5 + len(WORDS), "max_position_embeddings": 16, "pad_token_id": 0}
    image = {"image_size": 24, "width_coefficient": 1.0, "depth_coefficient": 1.0, "hidden_dim": 16}
    stages = {"in_channels": [32, 8], "out_channels": [8, 16], "kernel_sizes": [3, 3], "strides": [2, 1]}
    config = AlignConfig(
        text_config={**_tower(12), **text},
        vision_config={**image, **stages, "num_block_repeats": [1, 1], "expand_ratios": [1, 2]},
        projection_dim=16,
    )
    AlignModel(config).save_pretrained(folder)
    word_tokenizer(True, 16).save_pretrained(folder)
    write_preprocessor(folder, 24)
    return folder


def save_clip_gelu(folder: Path) -> Path:
    """A CLIP as LAION trained them."""
    return save_clip(folder, "gelu")


VISION_LANGUAGE = {
    "clip": save_clip,
    "clip_gelu": save_clip_gelu,
    "siglip": save_siglip,
    "siglip2": save_siglip2,
    "align": save_align,
}
"""Name -> how to make it with random weights, 24 px images, and patches or strides of 8 or 4."""


BACKBONES: dict[str, tuple[Any, int]] = {
    "resnet": (
        lambda: ResNetModel(
            ResNetConfig(embedding_size=8, hidden_sizes=[8, 12, 16], depths=[1, 1, 2], layer_type="basic")
        ),
        16,
    ),
    "bottleneck": (
        lambda: ResNetModel(ResNetConfig(embedding_size=8, hidden_sizes=[16, 24, 32, 40], depths=[1, 1, 1, 2])),
        32,
    ),
    "convnext": (lambda: ConvNextModel(ConvNextConfig(hidden_sizes=[8, 12, 16, 24], depths=[1, 1, 2, 1])), 32),
    "mobilenet_v2": (lambda: MobileNetV2Model(MobileNetV2Config(depth_multiplier=0.25)), 32),
    "efficientnet": (
        lambda: EfficientNetModel(
            EfficientNetConfig(width_coefficient=0.25, depth_coefficient=0.1, hidden_dim=320, image_size=32)
        ),
        32,
    ),
    "vit": (lambda: ViTModel(ViTConfig(**_tower(16), image_size=32, patch_size=8), add_pooling_layer=False), 8),
    "deit": (lambda: DeiTModel(DeiTConfig(**_tower(16), image_size=32, patch_size=8), add_pooling_layer=False), 8),
}
"""Kind -> how to make it with random weights, and its own stride."""


def save_backbone(folder: Path, kind: str) -> Path:
    """A backbone of random weights."""
    torch.manual_seed(0)
    BACKBONES[kind][0]().save_pretrained(folder)
    write_preprocessor(folder, 32)
    return folder
