"""The built-in synthetic benchmark: procedurally drawn objects in contexts, with exact masks."""

from __future__ import annotations

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
