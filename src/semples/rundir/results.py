"""What a run left, by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semples.files import read_json
from semples.records import Dataset
from semples.rundir.dataset import read_dataset_index, require_run


@dataclass(frozen=True)
class RunResult:
    """The results in a run directory, read when asked for; ``docs/artefacts.md`` has all of its files.

    >>> result = RunResult(Path("runs/photos"))
    >>> result.model.as_posix()
    'runs/photos/5-segment/model'
    >>> result.mask("holiday/beach").as_posix()
    'runs/photos/4-pseudo-masks/holiday/beach.png'

    Attributes:
        directory: The run directory.
    """

    directory: Path

    @property
    def report(self) -> Path:
        """The report: one HTML file."""
        return self.directory / "report.html"

    @property
    def model(self) -> Path:
        """Folder of the segmentation network, for ``from_pretrained`` and ``semples predict``."""
        return self.directory / "5-segment" / "model"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the K object classes: class k has value k + 1 in masks.

        Raises:
            DataError: This is no run directory.
        """
        return self._index().catalogue.names

    @property
    def evaluation(self) -> dict[str, Any] | None:
        """Scores as in evaluation.json; None where there are no ground-truth masks."""
        path = self.directory / "evaluation.json"
        return read_json(path) if path.is_file() else None

    @property
    def stages(self) -> dict[str, dict[str, Any]]:
        """Folder of each stage -> its entry in manifest.json: status, seconds, peak memory, warnings."""
        path = self.directory / "manifest.json"
        return dict(read_json(path)["stages"]) if path.is_file() else {}

    @property
    def masks(self) -> dict[str, Path]:
        """Id of each training image -> its pseudo mask: PNG, uint8 [H, W], 0 background, k + 1 for class k, 255 ignore.

        Raises:
            DataError: This is no run directory.
        """
        paths = {sample.id: self.mask(sample.id) for sample in self._index().train}
        return {id: path for id, path in paths.items() if path.is_file()}

    def mask(self, id: str) -> Path:
        """Where the pseudo mask of a training image is."""
        return self.directory / "4-pseudo-masks" / f"{id}.png"

    def _index(self) -> Dataset:
        require_run(self.directory, "dataset.json")
        return read_dataset_index(self.directory / "dataset.json")
