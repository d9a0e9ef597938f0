"""Checkpoints of the WeakTr authors, whose tensors have timm's names."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from semples.errors import ModelError
from semples.models.generators.weaktr.generator import WeakTrGenerator

Names = dict[str, tuple[str, ...]]
"""Name in a file -> our names of the tensors that are stacked in it; ``{i}`` stands for the layer."""

QKV = tuple(f"trunk.layers.{{i}}.attention.{part}_proj" for part in "qkv")


def module_names(module: str, *ours: str, bias: bool = True, theirs: tuple[str, str] = ("weight", "bias")) -> Names:
    """List the names of a module's weight and bias.

    Args:
        module: Name of the module in a file.
        ours: Our names of the modules that are stacked in it.
        bias: Whether it has a bias.
        theirs: Names of weight and bias in a file.
    """
    pairs = zip(theirs, ("weight", "bias")[: 1 + bias], strict=False)
    return {f"{module}.{their}": tuple(f"{name}.{our}" for name in ours) for their, our in pairs}


FUSION = "adaptive_attention_fusion"
PUBLISHED_NAMES: Names = {
    "cls_token": ("trunk.class_tokens",),
    "pos_embed_cls": ("trunk.class_positions",),
    "pos_embed_pat": ("trunk.patch_positions",),
    **module_names("patch_embed.proj", "trunk.patch_embeddings.projection"),
    **module_names("blocks.{i}.norm1", "trunk.layers.{i}.layernorm_before"),
    **module_names("blocks.{i}.norm2", "trunk.layers.{i}.layernorm_after"),
    **module_names("blocks.{i}.attn.qkv", *QKV),
    **module_names("blocks.{i}.attn.proj", "trunk.layers.{i}.attention.o_proj"),
    **module_names("blocks.{i}.mlp.fc1", "trunk.layers.{i}.mlp.fc1"),
    **module_names("blocks.{i}.mlp.fc2", "trunk.layers.{i}.mlp.fc2"),
    **module_names("head", "head"),
    **module_names(f"{FUSION}.attn_feat_ffn.0", "fusion.squeeze"),
    **module_names(f"{FUSION}.attn_feat_ffn.1", "fusion.score"),
    **module_names(f"{FUSION}.attn_head_ffn.0", "fusion.mix_in", bias=False),
    **module_names(f"{FUSION}.attn_head_ffn.2", "fusion.mix_out", bias=False),
}
"""Names of the WeakTr authors' checkpoints -> ours."""

UNUSED = ("norm.weight", "norm.bias", "pos_embed")
"""Names of tensors in their checkpoints that are ignored: no layer norm follows the last layer."""


def load_weaktr_checkpoint(path: Path | str, generator: WeakTrGenerator, names: Names = PUBLISHED_NAMES) -> None:
    """Load the weights of a WeakTr checkpoint into a generator.

    Args:
        path: A ``.safetensors`` file, or a ``torch.save`` file of tensors (also under the key "model"). The latter
            is read with ``weights_only=True``: nothing in it is executed.
        generator: A generator of the checkpoint's sizes.
        names: Names of the tensors in the file.

    Raises:
        ModelError: The file cannot be read, or a tensor is missing, unknown or of another shape.
    """
    tensors = {name: value for name, value in _read(Path(path)).items() if name not in UNUSED}
    written_out = _for_each_layer(names, len(generator.trunk.layers))
    _check_names(tensors, written_out, path)
    state: dict[str, Tensor] = {}
    expected = generator.state_dict()
    for theirs, ours in written_out.items():
        stacked = _shaped(tensors[theirs], torch.cat([expected[name] for name in ours]), theirs, path)
        state.update(zip(ours, stacked.chunk(len(ours)), strict=True))
    generator.load_state_dict(state)


def _read(path: Path) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise ModelError(f"checkpoint {path}: not found; give a WeakTr checkpoint (.pth or .safetensors)")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # The authors' files also hold their command line. torch warns of strange files before it refuses them.
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise many types on damaged files
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"cannot read checkpoint {path}: {first_line}; download it again") from error
    content = content.get("model", content) if isinstance(content, Mapping) else content
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ModelError(
            f"checkpoint {path}: holds no tensors by name, expected a state dict, also under the key model; "
            "give another file"
        )
    return content


def _for_each_layer(names: Names, depth: int) -> Names:
    """Write out the names that stand for every layer."""
    expanded: Names = {}
    for theirs, ours in names.items():
        for i in range(depth if "{i}" in theirs else 1):
            expanded[theirs.replace("{i}", str(i))] = tuple(name.replace("{i}", str(i)) for name in ours)
    return expanded


def _check_names(tensors: Mapping[str, Tensor], names: Names, path: Path | str) -> None:
    missing, unknown = names.keys() - tensors.keys(), tensors.keys() - names.keys()
    for problem, found in (("lacks", missing), ("has unknown", unknown)):
        if found:
            listed = ", ".join(sorted(found)[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
            raise ModelError(
                f"checkpoint {path}: {problem} {listed}, expected a WeakTr checkpoint of the backbone's depth; "
                "give another checkpoint or backbone"
            )


def _shaped(tensor: Tensor, like: Tensor, theirs: str, path: Path | str) -> Tensor:
    """Check a tensor's shape, and drop the batch dimension that tokens and positions have in a file."""
    value = tensor[0] if tensor.dim() == like.dim() + 1 and len(tensor) == 1 else tensor
    if value.shape != like.shape:
        raise ModelError(
            f"checkpoint {path}: {theirs} has shape {tuple(value.shape)}, expected {tuple(like.shape)}; set the number "
            "of classes, backbone and mask_generator.fusion_* as in its training"
        )
    return value.to(like.dtype)
