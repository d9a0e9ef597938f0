"""The verbs of the command line as functions, with the same words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

import semples
from semples.compare import compare
from semples.config import Config
from semples.data.images import read_mask
from semples.distributed import is_first, processes, wait
from semples.doctor import doctor
from semples.errors import ConfigError, DataError
from semples.export import export_coco, export_voc
from semples.files import read_json
from semples.init import init
from semples.locks import locked
from semples.metrics import ConfusionMatrix
from semples.onnx_export import export_onnx
from semples.predict import predict
from semples.report import write_report
from semples.stages.opening import open_run
from semples.stages.pipeline import run_stages
from semples.training import is_on_cpu

__all__ = ["compare", "demo", "doctor", "evaluate", "export", "init", "predict", "prompts", "report", "run"]


def run(config: Config, out: Path, until: str | None = None, force: str | None = None, quiet: bool = False) -> Path:
    """Run the whole pipeline, or go on where the same command stopped; several processes of torchrun share the work.

    Args:
        config: Settings; :func:`semples.settings.load_config` reads them from YAML.
        out: The run directory.
        until: Stop after this stage.
        force: Run this stage and those after it again.
        quiet: No progress on the terminal.

    Returns:
        The run directory, with report.html inside.

    Raises:
        SemplesError: Bad settings, bad input, or a failed run; its text says what to do.
    """
    with processes(is_on_cpu(config.device)), locked(out) if is_first() else nullcontext():
        wait()  # until the directory is ours
        run_stages(open_run(config, out, quiet), until, force, _teller(quiet or not is_first()))
        if is_first():
            write_report(out)
        wait()
    return out


def demo(out: Path, config: Config | None = None, force: str | None = None, quiet: bool = False) -> Path:
    """Run the whole pipeline on built-in scenes: CPU is enough, nothing is downloaded."""
    return run(config or Config(), out, force=force, quiet=quiet)


def evaluate(predictions: Path, truth: Path, classes: Sequence[str]) -> dict[str, Any]:
    """Score a folder of masks against another: every ``ID.png`` of ``truth`` needs one of the same size.

    Returns:
        mIoU and shares as in evaluation.json, and per class false positives and negatives.

    Raises:
        DataError: A folder or mask is missing, or does not fit.
    """
    if not truth.is_dir() or not predictions.is_dir():
        missing = predictions if truth.is_dir() else truth
        raise DataError(f"{missing} is not there: give a folder of PNG masks")
    paths = sorted(truth.rglob("*.png"))
    if not paths:
        raise DataError(f"{truth} holds no PNG masks")
    matrix = ConfusionMatrix(len(classes) + 1)
    for path in paths:
        target = read_mask(path, None, len(classes))
        other = predictions / path.relative_to(truth)
        if not other.is_file():
            raise DataError(f"{other} is not there, but {path} is: predict that image or remove its truth")
        height, width = target.shape
        matrix.update(read_mask(other, (height, width), len(classes)), target)
    return {**matrix.scores(classes), "per_class": _per_class(matrix, ("background", *classes))}


def _per_class(matrix: ConfusionMatrix, names: Sequence[str]) -> dict[str, dict[str, float]]:
    shares = zip(names, matrix.iou, matrix.false_positive_share, matrix.false_negative_share, strict=True)
    return {
        name: {"iou": float(iou), "false_positive": float(fp), "false_negative": float(fn)}
        for name, iou, fp, fn in shares
        if iou == iou  # not NaN: the class occurs
    }


def prompts(run: Path) -> dict[str, list[tuple[str, float]]]:
    """Read the words nearest to each learned prompt, best first.

    Raises:
        DataError: The run has no stage 2.
    """
    path = run / "2-prompts" / "words.json"
    if not path.is_file():
        raise DataError(f"{path} is not there: give the directory of a run with guidance that passed stage prompts")
    words = read_json(path)["words"]
    return {name: [(word, float(score)) for word, score in epochs[-1]] for name, epochs in words.items()}


def export(run: Path, format: Literal["coco", "voc", "onnx"], with_images: bool = False) -> Path:
    """Write the pseudo masks of a run for other tools, or its segmentation network, below ``RUN/export/``.

    Args:
        run: A run directory.
        format: "coco" or "voc", the pseudo masks for CVAT, FiftyOne and others; "onnx", the network.
        with_images: Copy the images too (coco and voc).

    Returns:
        ``coco/annotations.json``, the folder ``voc``, or ``onnx/model.onnx``.

    Raises:
        ConfigError: There is no such format, or ONNX is not installed.
        DataError: That is no run directory, or the stage whose result is wanted is not done.
    """
    if format == "coco":
        return export_coco(run, with_images)
    if format == "voc":
        return export_voc(run, with_images)
    if format == "onnx":
        return export_onnx(run)
    raise ConfigError(f'there is no format "{format}", expected coco, voc or onnx')


def report(run: Path) -> Path:
    """Rebuild report.html of a run directory.

    Raises:
        DataError: That is no run directory.
    """
    if not (run / "dataset.json").is_file():
        raise DataError(f"{run} is no run directory: it has no dataset.json")
    return write_report(run)


def _teller(quiet: bool) -> Callable[[str], None]:
    console = Console(stderr=True, highlight=False)
    return (lambda _: None) if quiet else console.print


for _verb in __all__:  # some verbs share their name with the file they live in: in the package the function stands
    setattr(semples, _verb, globals()[_verb])
