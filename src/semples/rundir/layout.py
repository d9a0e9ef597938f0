"""The layout of a run directory: stages in order, their folders, and every file by name.

No other module spells these names; ``docs/artefacts.md`` describes the content of the files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from semples.errors import DataError

_STAGE_FOLDERS = {
    "classify": "0-classify",
    "match": "1-match",
    "prompts": "2-prompts",
    "prompt-maps": "2-prompt-maps",
    "refine": "3-refine",
    "pseudo-masks": "4-pseudo-masks",
    "segment": "5-segment",
    "supervised-bound": "5-supervised-bound",
    "evaluate": "6-evaluate",
}

STAGES = tuple(_STAGE_FOLDERS)
"""Names of the stages, in order."""

STAGE_NAMES = (*STAGES, "report")
"""Values of ``--until`` and ``--force``; the report comes last and is always rewritten."""

MAIN_STAGES = tuple(stage for stage in STAGES if stage not in ("prompt-maps", "supervised-bound"))
"""Stages that the report lists even if they have not run."""

CAM_STAGES = ("classify", "match", "refine")
"""Stages that write a mask generator and its CAMs."""

_COMPARISON_FOLDERS = {
    "manual": "compare-manual",
    "generic": "compare-generic",
    "clip-es": "compare-clip-es",
}
"""Stages that only ``semples compare`` runs."""


def scoring_stage(stage: str) -> str:
    """Return the name of the stage of ``semples compare`` that scores the CAMs of another stage."""
    return f"score-{stage}"


_SCORING_FOLDERS = {scoring_stage(stage): f"compare-score-{stage}" for stage in (*CAM_STAGES, *_COMPARISON_FOLDERS)}

_FOLDERS = _STAGE_FOLDERS | _COMPARISON_FOLDERS | _SCORING_FOLDERS


def stage_folder(stage: str) -> str:
    """Return the name of a stage's folder, which is also its key in ``manifest.json``."""
    return _FOLDERS[stage]


def stage_of(folder: str) -> str:
    """Return the name of the stage that writes a folder."""
    return next(stage for stage, name in _FOLDERS.items() if name == folder)


@dataclass(frozen=True)
class RunDirectory:
    """A run directory and the path of every file in it; nothing is read or written.

    >>> RunDirectory(Path("runs/photos")).pseudo_mask("holiday/beach").as_posix()
    'runs/photos/4-pseudo-masks/holiday/beach.png'

    Attributes:
        path: The directory itself.
    """

    path: Path

    def require(self, *files: Path) -> None:
        """Check that files exist which every run directory has.

        Raises:
            DataError: One of the files is missing.
        """
        for file in files:
            if not file.is_file():
                raise DataError(
                    f"{self.path}: not a run directory, it has no {file.name}; give the folder that semples run wrote"
                )

    # Files of the whole run

    @property
    def config(self) -> Path:
        """Resolved settings."""
        return self.path / "config.yaml"

    @property
    def dataset(self) -> Path:
        """Classes, images and tags."""
        return self.path / "dataset.json"

    @property
    def skipped(self) -> Path:
        """Images that could not be read and were skipped."""
        return skipped_images(self.path)

    @property
    def manifest(self) -> Path:
        """Status and digest of each stage."""
        return self.path / "manifest.json"

    @property
    def metrics(self) -> Path:
        """Losses by epoch."""
        return self.path / "metrics.jsonl"

    @property
    def evaluation(self) -> Path:
        """Scores against ground truth."""
        return self.path / "evaluation.json"

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.path / "report.html"

    @property
    def lock(self) -> Path:
        """File that is locked while a process uses the directory."""
        return self.path / ".lock"

    @property
    def scenes(self) -> Path:
        """Built-in scenes, unless the settings name another folder for them."""
        return self.path / "scenes"

    @property
    def cache(self) -> Path:
        """Folder of files that only save time; may be deleted."""
        return self.path / "cache"

    def cached_words(self, digest: str) -> Path:
        """Text features of the candidate words."""
        return self.cache / f"words-{digest}.safetensors"

    def variant(self, name: str) -> RunDirectory:
        """Run directory of one row of a comparison or an ablation."""
        return RunDirectory(self.path / "variants" / name)

    # Stages

    def folder(self, stage: str) -> Path:
        """Folder of a stage."""
        return self.path / stage_folder(stage)

    def checkpoint(self, stage: str) -> Path:
        """State of an unfinished training."""
        return self.folder(stage) / "checkpoint.pt"

    def mask_generator(self, stage: str) -> Path:
        """Weights of the mask generator that a stage trained."""
        return self.folder(stage) / "mask_generator.safetensors"

    def cams(self, stage: str) -> Path:
        """Folder of a stage's CAMs, one :func:`map_file` for each training image."""
        return self.folder(stage) / "cams"

    @property
    def prompts(self) -> Path:
        """Learned prompt vectors."""
        return self.folder("prompts") / "prompts.safetensors"

    @property
    def words(self) -> Path:
        """Words nearest to the prompts, by epoch."""
        return self.folder("prompts") / "words.json"

    @property
    def prompt_maps(self) -> Path:
        """Folder of the prompt maps, one :func:`map_file` for each image of the report."""
        return self.folder("prompt-maps")

    @property
    def pseudo_masks(self) -> Path:
        """Folder of the pseudo masks."""
        return self.folder("pseudo-masks")

    def pseudo_mask(self, id: str) -> Path:
        """Pseudo mask of a training image."""
        return mask_file(self.pseudo_masks, id)

    @property
    def threshold(self) -> Path:
        """Threshold of the pseudo masks, and how it was chosen."""
        return self.pseudo_masks / "threshold.json"

    def refined_masks(self, step: str) -> Path:
        """Folder of the masks after a refinement step."""
        return self.pseudo_masks / f"after-{step}"

    @property
    def confidence(self) -> Path:
        """Folder of the confidence maps of the pseudo masks."""
        return self.pseudo_masks / "confidence"

    def model(self, stage: str) -> Path:
        """Folder of a trained segmentation network, as ``save_pretrained`` writes it."""
        return self.folder(stage) / "model"

    def held_out_predictions(self, stage: str) -> Path:
        """Folder of a network's masks for the held-out images."""
        return self.folder(stage) / "predictions"

    def train_predictions(self, stage: str) -> Path:
        """Folder of a network's masks for the training images, written by stage evaluate."""
        prefix = "" if stage == "segment" else "supervised-"
        return self.folder("evaluate") / f"{prefix}predictions"

    @property
    def shown_images(self) -> Path:
        """Ids of the images that the report shows."""
        return self.folder("evaluate") / "samples.json"

    @property
    def truth_thumbnails(self) -> Path:
        """Folder of small ground-truth masks for the report."""
        return self.folder("evaluate") / "truth"

    def comparison_scores(self, stage: str) -> Path:
        """Scores of a stage's CAMs, and of the masks after refinement, in ``semples compare``."""
        return self.folder(scoring_stage(stage)) / "scores.json"

    # Exports

    @property
    def coco_export(self) -> Path:
        """Folder of ``semples export --format coco``."""
        return self.path / "export" / "coco"

    @property
    def voc_export(self) -> Path:
        """Folder of ``semples export --format voc``."""
        return self.path / "export" / "voc"

    @property
    def onnx_export(self) -> Path:
        """Folder of ``semples export --format onnx``."""
        return self.path / "export" / "onnx"


def mask_file(folder: Path, id: str) -> Path:
    """Return the path of the mask of an image, a PNG, in a folder of masks."""
    return folder / f"{id}{MASK_SUFFIX}"


def map_file(folder: Path, id: str) -> Path:
    """Return the path of the maps of an image in a folder of CAMs or prompt maps (:mod:`semples.rundir.maps`)."""
    return folder / f"{id}{MAP_SUFFIX}"


MASK_SUFFIX, MAP_SUFFIX = ".png", ".safetensors"


def skipped_images(folder: Path) -> Path:
    """Return the path of the record of skipped images in a run directory, or in the output of ``semples predict``."""
    return folder / "skipped.json"


def model_folder(path: Path) -> Path:
    """Return the folder of a run directory's segmentation network; any other path is returned unchanged."""
    directory = RunDirectory(path)
    is_run = directory.manifest.is_file() or directory.model("segment").is_dir()
    return directory.model("segment") if is_run else path
