"""From photographs with image-level tags to pixel masks and a trained segmentation model.

The verbs of the command line are functions here: ``from semples import run, demo, predict``; runs and mask generators
are objects: ``from semples import Pipeline, MaskGenerator``. All are those of :mod:`semples.api`, which is imported
when one of them is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from semples.api import (
        MaskGenerator,
        Pipeline,
        RunResult,
        compare,
        demo,
        doctor,
        evaluate,
        export,
        init,
        load_config,
        predict,
        prompts,
        report,
        run,
    )

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


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module semples has no attribute {name}, expected one of {', '.join(__all__)}")
    from semples import api

    return getattr(api, name)
