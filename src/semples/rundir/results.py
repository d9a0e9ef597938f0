"""Access to the results of a run by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semples.files import read_json
from semples.records import Dataset
from semples.rundir.dataset import read_dataset
from semples.rundir.layout import RunDirectory


@dataclass(frozen=True)
class RunResult:
    """The results in a run directory, read on access; ``docs/artefacts.md`` lists all files.

    >>> result = RunResult(Path("runs/photos"))
    >>> result.model.as_posix()
    'runs/photos/5-segment/model'
    >>> result.mask("holiday/beach").as_posix()
    'runs/photos/4-pseudo-masks/holiday/beach.png'

    Attributes:
        directory: The run directory.
    """

    directory: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "directory", Path(self.directory))  # text is welcome too

    @property
    def report(self) -> Path:
        """The report, a single HTML file."""
        return self._files.report

    @property
    def model(self) -> Path:
        """Folder of the segmentation network, for ``from_pretrained`` and ``semples predict``."""
        return self._files.model("segment")

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the K object classes; class k has value k + 1 in masks.

        Raises:
            DataError: The folder is not a run directory.
        """
        return self._dataset().catalogue.names

    @property
    def evaluation(self) -> dict[str, Any] | None:
        """Content of evaluation.json; None without ground-truth masks."""
        path = self._files.evaluation
        return read_json(path) if path.is_file() else None

    @property
    def stages(self) -> dict[str, dict[str, Any]]:
        """Folder of each stage -> its entry in manifest.json: status, seconds, peak memory, warnings."""
        path = self._files.manifest
        return dict(read_json(path)["stages"]) if path.is_file() else {}

    @property
    def masks(self) -> dict[str, Path]:
        """Id of each training image -> its pseudo mask: PNG, uint8 [H, W], 0 background, k + 1 for class k, 255 ignore.

        Raises:
            DataError: The folder is not a run directory.
        """
        paths = {sample.id: self.mask(sample.id) for sample in self._dataset().train}
        return {id: path for id, path in paths.items() if path.is_file()}

    def mask(self, id: str) -> Path:
        """Return the path of the pseudo mask of a training image."""
        return self._files.pseudo_mask(id)

    @property
    def _files(self) -> RunDirectory:
        return RunDirectory(self.directory)

    def _dataset(self) -> Dataset:
        self._files.require(self._files.dataset)
        return read_dataset(self._files.dataset)
