"""One run at a time in a directory, however it ends; and the errors of failed writes."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from semples.cli import main
from semples.errors import BusyError, RunError
from semples.files import replacing, write_json, write_text
from semples.rundir.locks import locked
from semples.rundir.metrics import EpochMetrics
from semples.training.progress import TrainingLog

HOLD = """
import multiprocessing, os, sys, time
from pathlib import Path
from semples.rundir.locks import locked

def work():
    print(os.getpid(), flush=True)  # from the child: it has started, and so has closed what it inherited
    time.sleep(60)

with locked(Path(sys.argv[1])):
    multiprocessing.get_context("fork").Process(target=work).start()
    time.sleep(60)
"""


def test_a_second_run_learns_which_process_holds_the_directory(tmp_path: Path) -> None:
    with locked(tmp_path / "run"):
        with pytest.raises(BusyError, match=rf"run: in use by process {os.getpid()} on \S+"), locked(tmp_path / "run"):
            pytest.fail("two at a time")
        with locked(tmp_path / "other"):
            pass
    with locked(tmp_path / "run"):
        pass


def test_the_command_line_says_so_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with locked(tmp_path / "run"):
        assert main(["demo", "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"semples: error: {tmp_path / 'run'}: in use by process {os.getpid()} on ")
    assert error.count("\n") == 1
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]


def test_a_kill_releases_it_even_where_workers_live_on(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    worker = int(holder.stdout.readline())
    try:
        with pytest.raises(BusyError, match=f"process {holder.pid} "), locked(tmp_path):
            pass
        holder.kill()
        holder.wait()
        os.kill(worker, 0)  # it lives
        with locked(tmp_path):
            pass
    finally:
        os.kill(worker, signal.SIGKILL)
        holder.stdout.close()


def test_a_file_system_without_locks_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path), locked(tmp_path):
        assert (tmp_path / ".lock").is_file()


def test_half_written_files_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    (tmp_path / "0-classify").mkdir()
    whole, half = tmp_path / "0-classify" / "a.png", tmp_path / "0-classify" / ".a.png.123.tmp"
    whole.touch()
    half.touch()
    with locked(tmp_path):
        assert whole.exists()
        assert not half.exists()


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, r"\(No space left on device\).* free some space, .* same command"),
        (errno.EROFS, r"\(Read-only file system\).* --out"),
        (errno.EIO, r"\(Input/output error\).* same command"),
    ],
)
def test_a_failed_write_leaves_the_old_file(number: int, says: str, tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    write_json(path, {"old": True})

    def write_and_fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise OSError(number, os.strerror(number))

    with pytest.raises(RunError, match=rf"manifest\.json: .*{says}"):
        write_and_fail()
    assert path.read_text() == '{\n  "old": true\n}\n'
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_where_the_run_directory_should_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run").write_text("mine")
    for out in (tmp_path / "run", tmp_path / "run" / "inside"):
        assert main(["demo", "--out", str(out)]) == 1
        error = capsys.readouterr().err
        assert "cannot be written" in error
        assert "in the way" in error
        assert "--out" in error
        assert error.count("\n") == 1
    assert (tmp_path / "run").read_text() == "mine"


def test_a_log_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"metrics\.jsonl: .*\(No such file or directory\)"):
        TrainingLog(tmp_path / "nowhere" / "metrics.jsonl").write(EpochMetrics("classify", 1))


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=f"{tmp_path}: cannot be written"):
        write_text(tmp_path, "text")
