"""Model folders and checkpoints that are damaged, of another kind, or run code when they are unpickled."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from sample_data import noise

from .case import Case
from .files import BUNDLED, Payload, payload, photos, predict, run_of

Spoil = Callable[[Path], object]
WEIGHTS = "model.safetensors"


def _copied(source: str, folder: Path, spoil: Spoil) -> Path:
    target = folder / "model"
    shutil.copytree(BUNDLED / source, target)
    spoil(target)
    return target


def _segmentation(folder: Path, spoil: Spoil) -> Sequence[str]:
    Image.fromarray(noise()).save(folder / "0.png")
    return predict(_copied("segmentation", folder, spoil), "0.png")


def _backbone(folder: Path, spoil: Spoil) -> Sequence[str]:
    model = _copied("vit", folder, spoil)
    named = ("--mask_generator.name", "weaktr", "--mask_generator.backbone", str(model))
    return run_of(folder, photos(folder), *named, "--until", "classify")


def _vision_language(folder: Path, spoil: Spoil) -> Sequence[str]:
    model = _copied("vision_language", folder, spoil)
    named = ("--mask_generator.name", "clip", "--vision_language.model", str(model))
    return run_of(folder, photos(folder), *named, "--until", "classify")


_USES = {"segmentation": _segmentation, "backbone": _backbone, "vision-language": _vision_language}


def write(name: str, content: bytes) -> Spoil:
    """Replace a file."""
    return lambda folder: (folder / name).write_bytes(content)


def cut(name: str, share: float) -> Spoil:
    """Keep the first share of a file."""

    def spoil(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(len(content) * share)])

    return spoil


def edit(name: str, **values: Any) -> Spoil:
    """Change values of a JSON file."""

    def spoil(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return spoil


def change_tensors(change: Callable[[str, torch.Tensor], torch.Tensor | None], name: str = WEIGHTS) -> Spoil:
    """Change tensors of a safetensors file, or drop those for which None comes."""

    def spoil(folder: Path) -> None:
        changed = {key: change(key, value) for key, value in load_file(folder / name).items()}
        save_file({key: value for key, value in changed.items() if value is not None}, folder / name, {"format": "pt"})

    return spoil


def _pickled(folder: Path) -> None:
    """Weights as a pickle in place of safetensors, as old checkpoints have them."""
    (folder / WEIGHTS).unlink()
    (folder / "pytorch_model.bin").write_bytes(payload())


def _own_code(folder: Path) -> None:
    """A folder that asks for its own code to be run."""
    (folder / "modeling.py").write_text('import os\nos.mkdir("executed")\n')
    edit("config.json", model_type="own", auto_map={"AutoConfig": "modeling.C", "AutoModel": "modeling.M"})(folder)


def _grown(_: str, value: torch.Tensor) -> torch.Tensor:
    return torch.cat([value, value]) if value.dim() == 4 else value


DAMAGES: dict[str, Spoil] = {
    "no weights": lambda folder: (folder / WEIGHTS).unlink(),
    "weights of zero bytes": write(WEIGHTS, b""),
    "weights cut after 4 bytes": write(WEIGHTS, b"\x10\0\0\0"),
    "a tenth of the weights": cut(WEIGHTS, 0.1),
    "half of the weights": cut(WEIGHTS, 0.5),
    "all but the last bytes": cut(WEIGHTS, 0.999),
    "a header of 2^63 bytes": write(WEIGHTS, b"\xff" * 8 + b"{}"),
    "a header that is no JSON": write(WEIGHTS, b"\x08\0\0\0\0\0\0\0no json!"),
    "a pickle named safetensors": write(WEIGHTS, payload()),
    "a pickle beside no safetensors": _pickled,
    "weights of other shapes": change_tensors(_grown),
    "no config": lambda folder: (folder / "config.json").unlink(),
    "config of zero bytes": write("config.json", b""),
    "config cut in half": cut("config.json", 0.5),
    "config a list": write("config.json", b"[]"),
    "config a number": write("config.json", b"1"),
    "config in UTF-16": write("config.json", "{}".encode("utf-16")),
    "config without a type": write("config.json", b"{}"),
    "another architecture": edit("config.json", model_type="bert", architectures=["BertModel"]),
    "an unknown architecture": edit("config.json", model_type="hal9000"),
    "code of its own": _own_code,
    "preprocessor no JSON": write("preprocessor_config.json", b"{"),
    "preprocessor a list": write("preprocessor_config.json", b"[]"),
    "mean of text": edit("preprocessor_config.json", image_mean="grey"),
    "mean of two numbers": edit("preprocessor_config.json", image_mean=[0.5, 0.5]),
    "deviation 0": edit("preprocessor_config.json", image_std=[0, 0, 0]),
    "deviation null": edit("preprocessor_config.json", image_std=[None, None, None]),
}


def _without_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()


TOKENIZER: dict[str, Spoil] = {
    "no tokenizer": _without_tokenizer,
    "tokenizer of zero bytes": write("tokenizer.json", b""),
    "tokenizer cut in half": cut("tokenizer.json", 0.5),
    "tokenizer a list": write("tokenizer.json", b"[]"),
}


def _weaktr(folder: Path, name: str, content: bytes) -> Sequence[str]:
    (folder / name).write_bytes(content)
    named = ("--mask_generator.name", "weaktr", "--mask_generator.backbone", "bundled/scenes")
    return run_of(folder, photos(folder), *named, "--mask_generator.checkpoint", name, "--until", "classify")


def _saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


_TINY = _saved({"model": {"head.weight": torch.zeros(2, 2)}})
WEAKTR = {
    "a pickle that runs code": ("w.pth", payload(), "checkpoint"),
    "a torch.save file that runs code": ("w.pth", _saved({"model": Payload()}), "checkpoint"),
    "half a file": ("w.pth", _TINY[: len(_TINY) // 2], "checkpoint"),
    "zero bytes": ("w.pth", b"", "checkpoint"),
    "text": ("w.pth", b"weights", "checkpoint"),
    "zero bytes of safetensors": ("w.safetensors", b"", "checkpoint"),
    "text named safetensors": ("w.safetensors", b"weights, many of them", "checkpoint"),
    "other tensors": ("w.pth", _TINY, "WeakTr"),
    "a list": ("w.pth", _saved([torch.zeros(2)]), "state dict"),
    "numbers by name": ("w.pth", _saved({"a": 1}), "state dict"),
}

_PLACE = ("model",)
"""What the line says: the folder, by its path."""


def _place(use: str, what: str) -> tuple[str, ...]:
    return ("mask_generator.backbone",) if (use, what) == ("backbone", "another architecture") else _PLACE


CASES = [
    *(
        Case(
            "checkpoints",
            f"{use}: {what}",
            partial(_USES[use], spoil=spoil),
            _place(use, what),
            is_slow=use != "segmentation",
        )
        for use in _USES
        for what, spoil in DAMAGES.items()
    ),
    *(
        Case("checkpoints", f"vision-language: {what}", partial(_vision_language, spoil=spoil), _PLACE, is_slow=True)
        for what, spoil in TOKENIZER.items()
    ),
    *(
        Case("checkpoints", f"WeakTr: {what}", partial(_weaktr, name=name, content=content), (name, says))
        for what, (name, content, says) in WEAKTR.items()
    ),
]
