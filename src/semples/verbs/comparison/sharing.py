"""Runs that differ from another in some settings, and the results that they can share with it."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from semples.config.loading import changed_config
from semples.files import replacing
from semples.rundir.layout import RunDirectory
from semples.rundir.manifest import Manifest
from semples.runtime.context import Run
from semples.runtime.setup import open_run
from semples.stages.pipeline import STAGES, open_manifest


def variant_run(base: Run, settings: Mapping[str, Any], name: str, quiet: bool = False) -> Run:
    """Open a run on the images of its base with some settings changed; the base itself where none differs.

    Args:
        base: The run.
        settings: Values by dotted name.
        name: Name of its folder in ``variants/``.
        quiet: Print nothing on standard error.
    """
    config = changed_config(base.config, settings)
    if config == base.config:
        return base
    root = Path(config.data.root) if config.data.root else base.directory.scenes
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, root=str(root)))
    return open_run(config, base.directory.variant(name).path, quiet)


def run_with_settings(run: Run, settings: Mapping[str, Any]) -> Run:
    """Return the run with changed settings, in the same directory."""
    return dataclasses.replace(run, config=changed_config(run.config, settings)) if settings else run


def share_stages(sources: Sequence[RunDirectory], target: Run) -> None:
    """Take over results with the same digest that ``target`` lacks; record skipped stages, and share cached words."""
    manifests, target_manifest = [Manifest(source, writes=False) for source in sources], open_manifest(target)
    for stage in STAGES:
        digest = stage.digest(target, target_manifest)
        if target_manifest.is_done(stage.name, digest):
            continue
        for source, manifest in zip(sources, manifests, strict=True):
            entry = manifest.entry(stage.name)
            if entry is None or entry.digest != digest:
                continue
            if entry.status == "skipped":
                target_manifest.record(stage.name, entry)
                break
            if manifest.is_done(stage.name, digest):
                target_manifest.invalidate(stage.name)
                folder = target.directory.folder(stage.name)
                shutil.rmtree(folder, ignore_errors=True)
                shutil.copytree(source.folder(stage.name), folder, copy_function=_link_or_copy)
                target_manifest.record(stage.name, entry)
                break
    for source in sources:
        _share_cache(source, target.directory)


def _share_cache(source: RunDirectory, target: RunDirectory) -> None:
    for file in source.cache.glob("*") if source.cache.is_dir() else ():
        if file.is_file() and not (target.cache / file.name).exists():
            with replacing(target.cache / file.name) as temporary:
                shutil.copyfile(file, temporary)


def _link_or_copy(source: str, target: str) -> None:
    """Link a file, which takes neither time nor room: results are replaced, never changed in place."""
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copy2(source, target)
