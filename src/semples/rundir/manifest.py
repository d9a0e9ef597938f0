"""``manifest.json``: status and digest of each stage."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from semples.errors import DataError
from semples.files import write_json
from semples.rundir.layout import STAGES, RunDirectory, stage_folder


@dataclass(frozen=True)
class StageEntry:
    """The last result of a stage.

    Attributes:
        status: "running", "done" or "skipped".
        digest: Digest of everything that the result depends on.
        outputs: Folders that the stage wrote.
        seconds: Duration, if the stage is done.
        peak_memory_mb: Peak memory of the process until the stage ended, in megabytes, if it is done.
        warnings: Reasons to doubt the result.
        reason: Reason why the stage was skipped.
    """

    status: str
    digest: str | None = None
    outputs: Sequence[str] | None = None
    seconds: float | None = None
    peak_memory_mb: float | None = None
    warnings: Sequence[str] | None = None
    reason: str | None = None


class Manifest:
    """Entries of all stages of a run, written back after every change.

    Args:
        directory: The run directory.
        writes: Whether this process writes the file; others only keep a copy in memory.

    Raises:
        DataError: The file exists but is damaged.
    """

    def __init__(self, directory: RunDirectory, writes: bool = True) -> None:
        self._directory, self._writes = directory, writes
        self._entries = read_manifest(directory.manifest) if directory.manifest.is_file() else {}

    def entry(self, stage: str) -> StageEntry | None:
        """Return the entry of a stage, or None if it has never run."""
        return self._entries.get(stage_folder(stage))

    def digest(self, stage: str) -> str | None:
        """Return the digest of the last result of a stage."""
        entry = self.entry(stage)
        return None if entry is None else entry.digest

    def is_done(self, stage: str, digest: str) -> bool:
        """Return whether a stage has finished with the same settings and inputs."""
        return self._has(stage, "done", digest) and self._directory.folder(stage).is_dir()

    def is_running(self, stage: str, digest: str) -> bool:
        """Return whether a stage was stopped before its end with the same settings and inputs."""
        return self._has(stage, "running", digest)

    def record(self, stage: str, entry: StageEntry) -> None:
        """Set the entry of a stage."""
        self._entries[stage_folder(stage)] = entry
        self._write()

    def invalidate(self, *stages: str) -> None:
        """Mark the folders of stages as invalid."""
        removed = [self._entries.pop(stage_folder(stage), None) for stage in stages]
        if any(removed):
            self._write()

    def invalidate_from(self, stage: str) -> None:
        """Mark the folders of a stage and of all later stages as invalid."""
        self.invalidate(*STAGES[STAGES.index(stage) :])

    def _has(self, stage: str, status: str, digest: str) -> bool:
        entry = self.entry(stage)
        return entry is not None and entry.status == status and entry.digest == digest

    def _write(self) -> None:
        if self._writes:
            entries = {folder: _without_none(asdict(entry)) for folder, entry in self._entries.items()}
            write_json(self._directory.manifest, {"stages": entries})


def read_manifest(path: Path) -> dict[str, StageEntry]:
    """Read the entries of all stages, by folder.

    Raises:
        DataError: The file is damaged.
    """
    try:
        return parse_manifest(path.read_text(encoding="utf-8"))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f"{path}: damaged ({error}); restore a good copy, or delete it to run every stage again"
        ) from error


def parse_manifest(text: str) -> dict[str, StageEntry]:
    """Parse the content of the file.

    Raises:
        ValueError: The text is not JSON, or a value has the wrong type.
        KeyError, TypeError, AttributeError: The text has another structure.
    """
    return {str(folder): _entry(str(folder), entry) for folder, entry in json.loads(text)["stages"].items()}


def require_done(directory: RunDirectory, stage: str) -> None:
    """Check that a stage of a run directory is done.

    Raises:
        DataError: The folder is not a run directory, or the stage is not done.
    """
    directory.require(directory.dataset, directory.manifest)
    entry = read_manifest(directory.manifest).get(stage_folder(stage))
    status = "not run" if entry is None else entry.status
    if status != "done":
        raise DataError(f"{directory.path}: stage {stage} is {status}, not done; resume the `semples run` command")


def _entry(folder: str, value: Mapping[str, Any]) -> StageEntry:
    if not isinstance(value, Mapping):
        raise ValueError(f"stage {folder} is not an object")
    seconds, memory, warnings = value.get("seconds"), value.get("peak_memory_mb"), value.get("warnings")
    outputs, digest, reason = value.get("outputs"), value.get("digest"), value.get("reason")
    return StageEntry(
        status=str(value["status"]),
        digest=None if digest is None else str(digest),
        outputs=None if outputs is None else [str(name) for name in outputs],
        seconds=_number(seconds),
        peak_memory_mb=_number(memory),
        warnings=None if warnings is None else [str(text) for text in warnings],
        reason=None if reason is None else str(reason),
    )


def _number(value: Any) -> float | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise ValueError(f"{value!r} is not a number")
    return value


def _without_none(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if value is not None}
