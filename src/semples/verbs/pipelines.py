"""``semples run`` and ``semples demo``: the whole pipeline on a data set, as functions and as an object."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

from semples.config import Config
from semples.config.loading import load_config, load_demo_config
from semples.errors import ConfigError
from semples.html_report import write_report
from semples.parallel.processes import barrier, is_main_process, process_group
from semples.rundir.locks import locked
from semples.rundir.results import RunResult
from semples.runtime.setup import open_run
from semples.stages.pipeline import run_stages
from semples.stages.updates import StageListener, StageUpdate
from semples.training.devices import is_on_cpu


def run(
    config: Config,
    out: Path | str,
    until: str | None = None,
    force: str | None = None,
    quiet: bool = False,
    on_stage: StageListener | None = None,
) -> Path:
    """Run the whole pipeline, or resume where it stopped; several processes of torchrun share the work.

    Args:
        config: Settings; :func:`semples.config.loading.load_config` reads them from YAML.
        out: The run directory.
        until: Stop after this stage.
        force: Run this stage and all later ones again.
        quiet: Print nothing on standard error.
        on_stage: Called after each stage with its update.

    Returns:
        The run directory, with report.html inside.

    Raises:
        SemplesError: The settings or the input are bad, or the run failed; the text says what to do.
    """
    out = Path(out)
    with process_group(is_on_cpu(config.device)), locked(out) if is_main_process() else nullcontext():
        barrier()  # until the main process holds the lock
        opened = open_run(config, out, quiet)

        def report_stage(update: StageUpdate) -> None:
            opened.log.message(update)
            if on_stage is not None and is_main_process():
                on_stage(update)

        run_stages(opened, until, force, report_stage)
        if is_main_process():
            write_report(out)
        barrier()
    return out


def demo(
    out: Path | str,
    config: Config | None = None,
    force: str | None = None,
    quiet: bool = False,
    on_stage: StageListener | None = None,
) -> Path:
    """Run the whole pipeline on a few built-in scenes, in minutes on a CPU, without downloads.

    Arguments as for :func:`run`; the default config is :data:`semples.config.loading.DEMO`.
    """
    return run(config or load_demo_config(), out, force=force, quiet=quiet, on_stage=on_stage)


class Pipeline:
    """The whole pipeline on one data set: settings in, a run directory out.

    ``Pipeline("photos.yaml", seed=1).run()`` does what ``semples run --config photos.yaml --seed 1`` does;
    ``Pipeline(data={"reader": "folder", "root": "photos"})`` needs no file, and ``Pipeline()`` uses all of the
    built-in scenes.

    Args:
        config: A YAML file of settings, or loaded settings; None means the defaults.
        out: The run directory; if None, ``runs/NAME`` after the file, the data folder, or the reader.
        settings: Single settings (``seed=1``) and sections (``refine={"epochs": 5}``); they override the file.

    Attributes:
        config: The settings.
        out: The run directory.

    Raises:
        ConfigError: Settings are bad; the text names all of them in one line.
    """

    def __init__(
        self, config: Config | Path | str | None = None, out: Path | str | None = None, **settings: Any
    ) -> None:
        if isinstance(config, Config):
            if settings:
                raise ConfigError(
                    f"{', '.join(settings)}: given besides a loaded config; change it by dataclasses.replace"
                )
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
        on_stage: StageListener | None = None,
    ) -> RunResult:
        """Run the pipeline, or resume where it stopped; arguments and errors as for :func:`run`."""
        return RunResult(run(self.config, self.out, until, force, quiet, on_stage))
