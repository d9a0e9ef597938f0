"""Who may import whom: the table of rooms holds, and there are no cycles between them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import REPOSITORY

SOURCE = REPOSITORY / "src" / "semples"

FOUNDATION = {"errors", "records", "files"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "records": set(),
    "files": {"errors"},
    "parallel": {"errors"},
    "method": {"errors", "records", "config"},
    "config": {"errors", "files"},
    "rundir": {*FOUNDATION},
    "data": {*FOUNDATION, "config"},
    "models": {"errors", "records", "config"},
    "training": {"errors", "files", "method", "parallel", "records", "rundir"},
    "inference": {*FOUNDATION, "method", "models", "parallel", "rundir"},
    "runtime": {*FOUNDATION, "config", "data", "method", "models", "parallel", "training", "inference", "rundir"},
    "html_report": {*FOUNDATION, "config", "data", "rundir"},
}
MAY_IMPORT["stages"] = {*MAY_IMPORT} - {"html_report"}
MAY_IMPORT["verbs"] = {*MAY_IMPORT, "stages"}
MAY_IMPORT["cli"] = {*FOUNDATION, "config", "parallel", "rundir", "stages", "verbs", "__init__"}
MAY_IMPORT["__main__"] = {"cli"}
MAY_IMPORT["__init__"] = {"config", "rundir", "verbs"}


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).with_suffix("").parts[0]


def imported_rooms(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path} has a relative import"
            names = [node.module]
            if node.module == "semples":
                names = [f"semples.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "semples" and len(parts) > 1:
                yield parts[1]


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_file_imports_only_what_its_room_may(path: Path) -> None:
    room = room_of(path)
    assert room in MAY_IMPORT, f"{room} is no room of the design"
    known = {name for name in imported_rooms(path) if name in MAY_IMPORT}
    assert known - {room} <= MAY_IMPORT[room]


def test_report_and_catalogues_need_no_torch() -> None:
    for path in [
        *(SOURCE / "html_report").rglob("*.py"),
        SOURCE / "verbs" / "mask_export.py",
        *(SOURCE / "config").rglob("*.py"),
        *(SOURCE / "rundir").rglob("*.py"),
        SOURCE / "method" / "metrics.py",
    ]:
        assert "import torch" not in path.read_text(encoding="utf-8"), path
