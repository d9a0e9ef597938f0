"""Weights of WeakTr generators under other people's names.

Two layouts are known: "timm", that of the checkpoints that WeakTr's authors publish, and "plain", that of the golden
numbers. ``{i}`` stands for the layer; one name of theirs may hold several tensors of ours, stacked.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file
from torch import Tensor

from semples.errors import ModelError
from semples.models.generators.weaktr.generator import WeakTrGenerator

Layout = Literal["timm", "plain"]
Names = dict[str, tuple[str, ...]]

_QKV = tuple(f"trunk.layers.{{i}}.attention.{part}_proj" for part in "qkv")


def _module(theirs: str, *ours: str, bias: bool = True, weight_names: tuple[str, str] = ("weight", "bias")) -> Names:
    """Names of a module's weight and bias, theirs -> ours."""
    pairs = zip(weight_names, ("weight", "bias")[: 1 + bias], strict=False)
    return {f"{theirs}.{their}": tuple(f"{name}.{our}" for name in ours) for their, our in pairs}


PLAIN: Names = {
    "class_tokens": ("trunk.class_tokens",),
    "pos.class": ("trunk.class_positions",),
    "pos.patch": ("trunk.patch_positions",),
    **_module("patch", "trunk.patch_embeddings.projection"),
    **_module("layer{i}.norm_a", "trunk.layers.{i}.layernorm_before", weight_names=("scale", "shift")),
    **_module("layer{i}.norm_b", "trunk.layers.{i}.layernorm_after", weight_names=("scale", "shift")),
    **_module("layer{i}.qkv", *_QKV),
    **_module("layer{i}.out", "trunk.layers.{i}.attention.o_proj"),
    **_module("layer{i}.mlp_in", "trunk.layers.{i}.mlp.fc1"),
    **_module("layer{i}.mlp_out", "trunk.layers.{i}.mlp.fc2"),
    **_module("head", "head"),
    **_module("fusion.squeeze", "fusion.squeeze"),
    **_module("fusion.score", "fusion.score"),
    **_module("fusion.mix_in", "fusion.mix_in", bias=False),
    **_module("fusion.mix_out", "fusion.mix_out", bias=False),
}
"""Names of the golden numbers -> ours."""

FUSION = "adaptive_attention_fusion"
TIMM: Names = {
    "cls_token": ("trunk.class_tokens",),
    "pos_embed_cls": ("trunk.class_positions",),
    "pos_embed_pat": ("trunk.patch_positions",),
    **_module("patch_embed.proj", "trunk.patch_embeddings.projection"),
    **_module("blocks.{i}.norm1", "trunk.layers.{i}.layernorm_before"),
    **_module("blocks.{i}.norm2", "trunk.layers.{i}.layernorm_after"),
    **_module("blocks.{i}.attn.qkv", *_QKV),
    **_module("blocks.{i}.attn.proj", "trunk.layers.{i}.attention.o_proj"),
    **_module("blocks.{i}.mlp.fc1", "trunk.layers.{i}.mlp.fc1"),
    **_module("blocks.{i}.mlp.fc2", "trunk.layers.{i}.mlp.fc2"),
    **_module("head", "head"),
    **_module(f"{FUSION}.attn_feat_ffn.0", "fusion.squeeze"),
    **_module(f"{FUSION}.attn_feat_ffn.1", "fusion.score"),
    **_module(f"{FUSION}.attn_head_ffn.0", "fusion.mix_in", bias=False),
    **_module(f"{FUSION}.attn_head_ffn.2", "fusion.mix_out", bias=False),
}
"""Names of the WeakTr authors' checkpoints -> ours."""

LAYOUTS: dict[Layout, Names] = {"timm": TIMM, "plain": PLAIN}
UNUSED = ("norm.weight", "norm.bias", "pos_embed")
"""Names in their checkpoints without a use: no layer norm follows the last layer."""


def load_weaktr_checkpoint(path: Path | str, generator: WeakTrGenerator, layout: Layout = "timm") -> None:
    """Fill a generator with the weights of a WeakTr checkpoint.

    Args:
        path: A ``.safetensors`` file, or a ``torch.save`` file of tensors (also under the key "model"). The latter
            is read with ``weights_only=True``: nothing in it can run.
        generator: Has the sizes of the checkpoint.
        layout: Whose names the file has.

    Raises:
        ModelError: The file cannot be read, lacks a tensor, holds an unknown one, or one of another shape.
    """
    tensors = {name: value for name, value in _read(Path(path)).items() if name not in UNUSED}
    names = _expand(LAYOUTS[layout], len(generator.trunk.layers))
    _check_names(tensors, names, path)
    state: dict[str, Tensor] = {}
    expected = generator.state_dict()
    for theirs, ours in names.items():
        stacked = _shaped(tensors[theirs], torch.cat([expected[name] for name in ours]), theirs, path)
        state.update(zip(ours, stacked.chunk(len(ours)), strict=True))
    generator.load_state_dict(state)


def _read(path: Path) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise ModelError(f"checkpoint {path} is not there: give a WeakTr checkpoint (.pth or .safetensors)")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # Their files keep the command line beside. Of strange files torch warns before it refuses them.
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise many types on damaged files
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"cannot read checkpoint {path}: {first_line}; download it again") from error
    content = content.get("model", content) if isinstance(content, Mapping) else content
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ModelError(f"checkpoint {path} holds no tensors by name, expected a state dict, plain or under model")
    return content


def _expand(layout: Names, depth: int) -> Names:
    """Write the layers' names out."""
    expanded: Names = {}
    for theirs, ours in layout.items():
        for i in range(depth if "{i}" in theirs else 1):
            expanded[theirs.replace("{i}", str(i))] = tuple(name.replace("{i}", str(i)) for name in ours)
    return expanded


def _check_names(tensors: Mapping[str, Tensor], names: Names, path: Path | str) -> None:
    for problem, odd in (("lacks", names.keys() - tensors.keys()), ("has unknown", tensors.keys() - names.keys())):
        if odd:
            listed = ", ".join(sorted(odd)[:5]) + (f" and {len(odd) - 5} more" if len(odd) > 5 else "")
            raise ModelError(
                f"checkpoint {path} {problem} {listed}: expected a WeakTr checkpoint of the backbone's depth"
            )


def _shaped(tensor: Tensor, like: Tensor, theirs: str, path: Path | str) -> Tensor:
    """Drop the batch dimension that tokens and positions have in their files."""
    value = tensor[0] if tensor.dim() == like.dim() + 1 and len(tensor) == 1 else tensor
    if value.shape != like.shape:
        raise ModelError(
            f"checkpoint {path}: {theirs} has shape {tuple(value.shape)}, expected {tuple(like.shape)}: number of "
            "classes, backbone and mask_generator.fusion_* have to be those that it was trained with"
        )
    return value.to(like.dtype)
