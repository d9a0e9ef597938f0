"""Configs with a second mask generator in comments."""

from __future__ import annotations

from pathlib import Path

import yaml


def write_alternative(config: Path) -> Path:
    """Write the config that results from putting the commented sections in place of the ones above them."""
    text = config.read_text(encoding="utf-8")
    block = text.split(" above:\n#\n")[1].split("\n\n")[0]
    lines = [line.removeprefix("# ") for line in block.splitlines()]
    changed = config.with_name(f"alternative-{config.name}")
    sections = {**yaml.safe_load(text), **yaml.safe_load("\n".join(lines))}
    changed.write_text(yaml.safe_dump(sections, allow_unicode=True), encoding="utf-8")
    return changed
