"""The house: its rooms and who may import whom, names at the top, circles, and names that one room owns."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest

from conftest import REPOSITORY
from semples.cli.verbs import VERBS
from semples.config.registry import CRITERIA, GENERATORS, READERS, REFINEMENTS
from semples.rundir import layout
from semples.rundir.layout import RunDirectory, stage_folder

SOURCE = REPOSITORY / "src" / "semples"
FILES = sorted(SOURCE.rglob("*.py"))

GROUND = {"errors", "records", "files"}
MAY_IMPORT: dict[str, set[str]] = {
    # From the ground floor up: a room imports rooms above it in this table only, so there is no circle of rooms.
    "errors": set(),
    "records": set(),
    "files": {"errors"},
    "config": {"errors", "files"},
    "rundir": {*GROUND},
    "parallel": {"errors"},
    "method": {"errors", "records", "config"},
    "data": {*GROUND, "config"},
    "models": {"errors", "records", "config"},
    "training": {*GROUND, "rundir", "parallel", "method"},
    "inference": {*GROUND, "rundir", "parallel", "method", "models"},
    "runtime": {*GROUND, "config", "rundir", "parallel", "method", "data", "models", "training", "inference"},
    "html_report": {*GROUND, "config", "rundir", "data"},
    "stages": {*GROUND, "config", "rundir", "parallel", "method", "data", "models", "training", "inference", "runtime"},
}
MAY_IMPORT["verbs"] = {*MAY_IMPORT}
MAY_IMPORT["cli"] = {*GROUND, "config", "rundir", "parallel", "stages", "verbs", "__init__"}
MAY_IMPORT["__main__"] = {"cli"}
MAY_IMPORT["__init__"] = {"config", "rundir", "verbs"}

TORCH_FREE = ("config", "rundir", "html_report", "cli", "errors.py", "records.py", "files.py")
"""Rooms that the command line needs before it knows that there is work for torch."""


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path: Path) -> str:
    """Dotted name of a module."""
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in FILES}


def imports(nodes: Iterator[ast.AST]) -> Iterator[str]:
    """Yield the dotted names of our own modules, or of names in them, that are imported."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("semples"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("semples"):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        assert not (isinstance(node, ast.ImportFrom) and node.level), "relative import"


def imported_modules(path: Path) -> set[str]:
    """Modules that are imported with a file itself, not later inside a function, and not for type checkers alone."""
    statements = (node for node in tree(path).body if not isinstance(node, ast.If))
    found = set()
    for name in imports(statements):
        module = name if name in MODULES else name.rpartition(".")[0]
        found.add(module)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_file_imports_only_what_its_room_may(path: Path) -> None:
    room = path.relative_to(SOURCE).with_suffix("").parts[0]
    assert room in MAY_IMPORT, f"{room} is not in the table of rooms"
    names = {name.split(".")[1] for name in imports(ast.walk(tree(path))) if "." in name}
    assert {name for name in names if name in MAY_IMPORT} - {room} <= MAY_IMPORT[room]


def test_the_table_has_no_circle() -> None:
    seen: set[str] = set()
    for room, others in MAY_IMPORT.items():
        if room != "cli":  # which asks the package for its version
            assert others <= seen, f"{room} imports a room below it"
        seen.add(room)


def test_modules_have_no_circle() -> None:
    graph = {name: imported_modules(path) - {name} for name, path in MODULES.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"circle: {' -> '.join((*trail[trail.index(name) :], name))}"
        if name not in done:
            for other in graph.get(name, ()):
                visit(other, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_at_most_17_names_at_the_top() -> None:
    names = {path.stem for path in SOURCE.iterdir() if path.suffix in ("", ".py")} - {"__init__", "__main__"}
    assert len(names - {"__pycache__"}) <= 17


def test_no_module_has_the_name_of_a_verb() -> None:
    """``from semples import report`` must be the function, whatever was imported before."""
    names = {part for path in FILES for part in path.relative_to(SOURCE).with_suffix("").parts}
    assert not names & set(VERBS)


@pytest.mark.parametrize("room", TORCH_FREE)
def test_rooms_without_torch(room: str) -> None:
    for path in (SOURCE / room).rglob("*.py") if (SOURCE / room).is_dir() else [SOURCE / room]:
        assert not {"torch", "transformers"} & {name.split(".")[0] for name in _third_party(path)}, path


def _third_party(path: Path) -> Iterator[str]:
    for node in tree(path).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def artefact_names() -> set[str]:
    """Names of the files and folders of a run directory that are not words of the language."""
    directory = RunDirectory(Path("run"))
    properties = [name for name, value in vars(RunDirectory).items() if isinstance(value, property)]
    paths = [getattr(directory, name) for name in properties]
    stages = [stage_folder(stage) for stage in (*layout.STAGES, "manual", "generic", "clip-es")]
    parts = {part for path in paths for part in path.relative_to("run").parts} | set(stages)
    return {name for name in parts if re.search(r"[.\d]|-", name)} | {"cams", "predictions"}


def literals(path: Path) -> Iterator[str]:
    """String literals of a file, docstrings left out."""
    docstrings = {id(node.value) for node in ast.walk(tree(path)) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def test_only_the_room_of_the_run_directory_spells_its_names() -> None:
    assert fields(RunDirectory)[0].name == "path"
    names = artefact_names() - {"cams", "predictions"}
    assert {"0-classify", "words.json", "manifest.json", "threshold.json"} <= names
    paths_alone = re.compile(rf"(^|/)({'|'.join(map(re.escape, {'cams', 'predictions'}))})/")
    for path in FILES:
        if path.is_relative_to(SOURCE / "rundir"):
            continue
        spelled = {text for text in literals(path) for name in names if name == text or f"{name}/" in text}
        spelled |= {text for text in literals(path) if paths_alone.search(text)}
        assert not spelled, f"{path.relative_to(SOURCE)} spells {spelled}; use semples.rundir.layout"


def test_nobody_compares_the_name_of_a_registered_part() -> None:
    """A new reader, generator, refinement or criterion is one line of the registry and needs no ``if`` elsewhere."""
    names = {*READERS, *GENERATORS, *REFINEMENTS, *CRITERIA} - {"prompts"}  # also a stage and its section
    for path in FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Compare):
                compared = {each.value for each in ast.walk(node) if isinstance(each, ast.Constant)}
                assert not compared & names, f"{path.relative_to(SOURCE)}:{node.lineno} compares {compared & names}"
