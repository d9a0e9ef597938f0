"""A full or read-only disk stops a run with one line; finished work stays, and the same command resumes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from run_files import SMALL, artefacts, metrics
from semples.cli import main


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("a small disk can be mounted by root alone")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def run(out: Path, scenes: Path) -> int:
    words = [f"--{key}={str(value).replace(chr(39), chr(34))}" for key, value in SMALL.items()]
    return main(["demo", "--out", str(out), *words, "--data.root", str(scenes), "--quiet"])


@pytest.mark.slow
def test_full_and_read_only(disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, whole, scenes = disk / "run", tmp_path / "whole", tmp_path / "scenes"
    assert run(whole, scenes) == 0
    assert run(out, scenes) == 0
    for folder in out.glob("[1-6]-*"):
        shutil.rmtree(folder)
    before = artefacts(out)
    capsys.readouterr()

    used = sum(path.stat().st_blocks * 512 for path in disk.rglob("*")) // 1024
    for room in (8, 300, 900):  # full at once, at the first checkpoint, and later on
        remount(disk, f"size={used + room}k")
        assert run(out, scenes) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "No space left on device" in error
        assert "free some space" in error
        assert before.items() <= artefacts(out).items()
    remount(disk, "size=64m,ro")
    assert run(out, scenes) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "cannot be written (Read-only file system)" in error
    assert "--out" in error
    remount(disk, "size=64m,rw")
    assert run(out, scenes) == 0
    assert artefacts(out) == artefacts(whole)
    assert metrics(out) == metrics(whole)
