"""Settings that had other names in earlier versions."""

from __future__ import annotations

RENAMED = {"pixel_adaptive.colour_scale": "pixel_adaptive.color_scale"}
"""Old name -> new name."""

PUBLISHED = {
    "vision_language.prompt_stop": ("word", "bare"),
    "vision_language.normalization": ("own", "imagenet"),
    "mask_generator.head_channels": ("contiguous", "strided"),
    "mask_generator.position_interpolation": ("exact", "offset"),
    "mask_generator.leftover": ("resize", "drop"),
}
"""Former setting that is now part of ``published`` -> its value without and with it."""
