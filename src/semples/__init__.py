"""From photographs with image-level tags to pixel masks and a trained segmentation model.

Every verb of the command line is a function here: ``from semples import run, demo, predict``. A run and a trained
mask generator are objects: ``from semples import Pipeline, MaskGenerator``. Importing the package is quick: the module
behind a name, and torch with it, is imported when the name is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from semples.config.loading import load_config
    from semples.rundir.results import RunResult
    from semples.verbs.comparison import compare
    from semples.verbs.diagnosis import doctor
    from semples.verbs.exports import export
    from semples.verbs.first_config import init
    from semples.verbs.learned_words import prompts
    from semples.verbs.mask_generator import MaskGenerator
    from semples.verbs.pipelines import Pipeline, demo, run
    from semples.verbs.prediction import predict
    from semples.verbs.reporting import report
    from semples.verbs.scoring import evaluate

__version__ = "0.1.0"
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

_MODULES = {
    "MaskGenerator": "verbs.mask_generator",
    "Pipeline": "verbs.pipelines",
    "RunResult": "rundir.results",
    "compare": "verbs.comparison",
    "demo": "verbs.pipelines",
    "doctor": "verbs.diagnosis",
    "evaluate": "verbs.scoring",
    "export": "verbs.exports",
    "init": "verbs.first_config",
    "load_config": "config.loading",
    "predict": "verbs.prediction",
    "prompts": "verbs.learned_words",
    "report": "verbs.reporting",
    "run": "verbs.pipelines",
}
"""Public name -> the module that holds it."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module semples has no attribute {name}, expected one of {', '.join(__all__)}")
    return getattr(import_module(f"semples.{_MODULES[name]}"), name)
