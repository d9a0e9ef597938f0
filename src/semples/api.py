"""The verbs of the command line as functions, with the same words, and runs and mask generators as objects."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import semples
from semples.compare import compare
from semples.config import Config
from semples.data.images import read_mask
from semples.data.index import require_run
from semples.distributed import is_first, processes, wait
from semples.doctor import doctor
from semples.errors import ConfigError, DataError
from semples.export import export_coco, export_voc
from semples.files import read_json
from semples.init import init
from semples.locks import locked
from semples.masking import MaskGenerator
from semples.metrics import ConfusionMatrix
from semples.onnx_export import export_onnx
from semples.predict import predict
from semples.report import write_report
from semples.results import RunResult
from semples.settings import load_config, load_demo_config
from semples.stages.news import StageNews, Teller
from semples.stages.opening import open_run
from semples.stages.pipeline import run_stages
from semples.training import is_on_cpu

__all__ = [
    "MaskGenerator",
    "Pipeline",
    "RunResult",
    "compare",
    "demo",
    "doctor",
    "evaluate",
    "export",
    "init",
    "load_config",
    "predict",
    "prompts",
    "report",
    "run",
]


def run(
    config: Config,
    out: Path,
    until: str | None = None,
    force: str | None = None,
    quiet: bool = False,
    on_stage: Teller | None = None,
) -> Path:
    """Run the whole pipeline, or go on where the same command stopped; several processes of torchrun share the work.

    Args:
        config: Settings; :func:`semples.settings.load_config` reads them from YAML.
        out: The run directory.
        until: Stop after this stage.
        force: Run this stage and those after it again.
        quiet: Nothing on standard error.
        on_stage: Called after each stage with what was done.

    Returns:
        The run directory, with report.html inside.

    Raises:
        SemplesError: Bad settings, bad input, or a failed run; its text says what to do.
    """
    with processes(is_on_cpu(config.device)), locked(out) if is_first() else nullcontext():
        wait()  # until the directory is ours
        opened = open_run(config, out, quiet)

        def tell(news: StageNews) -> None:
            opened.log.tell(news)
            if on_stage is not None and is_first():
                on_stage(news)

        run_stages(opened, until, force, tell)
        if is_first():
            write_report(out)
        wait()
    return out


def demo(
    out: Path,
    config: Config | None = None,
    force: str | None = None,
    quiet: bool = False,
    on_stage: Teller | None = None,
) -> Path:
    """Run the whole pipeline on some of the built-in scenes, in minutes on a CPU; nothing is downloaded.

    Arguments are those of :func:`run`; without a config its settings are :data:`semples.settings.DEMO`.
    """
    return run(config or load_demo_config(), out, force=force, quiet=quiet, on_stage=on_stage)


class Pipeline:
    """The whole pipeline on one data set: settings in, a run directory out.

    ``Pipeline("photos.yaml", seed=1).run()`` does what ``semples run --config photos.yaml --seed 1`` does;
    ``Pipeline(data={"reader": "folder", "root": "photos"})`` needs no file, and ``Pipeline()`` takes all of the
    built-in scenes.

    Args:
        config: A YAML file of settings, or settings that are loaded already; None takes the defaults.
        out: The run directory; ``runs/NAME`` of the file, of the folder of the data, or of the reader if None.
        settings: Single settings (``seed=1``) and sections (``refine={"epochs": 5}``); they win over the file.

    Attributes:
        config: The settings.
        out: The run directory.

    Raises:
        ConfigError: Bad settings; all of them are named in one line.
    """

    def __init__(
        self, config: Config | Path | str | None = None, out: Path | str | None = None, **settings: Any
    ) -> None:
        if isinstance(config, Config):
            if settings:
                raise ConfigError(f"{', '.join(settings)} came with a loaded config: change it by dataclasses.replace")
            self.config = config
        else:
            self.config = load_config(None if config is None else Path(config), settings)
        name = config if isinstance(config, Path | str) else self.config.data.root or self.config.data.reader
        self.out = Path("runs") / Path(name).stem if out is None else Path(out)

    def run(
        self,
        until: str | None = None,
        force: str | None = None,
        quiet: bool = False,
        on_stage: Teller | None = None,
    ) -> RunResult:
        """Run it, or go on where it stopped; arguments and errors are those of :func:`run`."""
        return RunResult(run(self.config, self.out, until, force, quiet, on_stage))


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
        raise DataError(f"{truth} holds no PNG masks: give a folder of them")
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
        DataError: The run has no stage 2, or its words were changed into something else.
    """
    path = run / "2-prompts" / "words.json"
    if not path.is_file():
        raise DataError(f"{path} is not there: give the directory of a run with guidance that passed stage prompts")
    try:
        words = read_json(path)["words"]
        return {name: [(str(word), float(score)) for word, score in epochs[-1]] for name, epochs in words.items()}
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path} holds no words of a run ({error}): --force prompts makes it again") from error


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
    require_run(run, "dataset.json")
    return write_report(run)


for _verb in __all__:  # some verbs share their name with the file they live in: in the package the function stands
    setattr(semples, _verb, globals()[_verb])
