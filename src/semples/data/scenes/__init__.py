"""The built-in synthetic benchmark: procedurally drawn objects in contexts, with exact masks.

The names here are imported when they are first used, so that reading settings does not import the drawing code.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from semples.data.scenes.compose import GROUND, Appearance, Placement, Scene, draw_scene
    from semples.data.scenes.contexts import CONTEXTS
    from semples.data.scenes.objects import OBJECTS
    from semples.data.scenes.palette import COLORS, PATTERNS
    from semples.data.scenes.reader import SceneSettings, read_scenes, sample_placements

__all__ = [
    "COLORS",
    "CONTEXTS",
    "GROUND",
    "OBJECTS",
    "PATTERNS",
    "Appearance",
    "Placement",
    "Scene",
    "SceneSettings",
    "draw_scene",
    "read_scenes",
    "sample_placements",
]

_MODULES = {
    "COLORS": "palette",
    "CONTEXTS": "contexts",
    "GROUND": "compose",
    "OBJECTS": "objects",
    "PATTERNS": "palette",
    "Appearance": "compose",
    "Placement": "compose",
    "Scene": "compose",
    "SceneSettings": "reader",
    "draw_scene": "compose",
    "read_scenes": "reader",
    "sample_placements": "reader",
}
"""Name -> the module that holds it."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module semples.data.scenes has no attribute {name}, expected one of {__all__}")
    return getattr(import_module(f"semples.data.scenes.{_MODULES[name]}"), name)
