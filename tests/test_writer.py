"""Files written in the background: all of them, in order, and none after a failed one."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from semples.errors import RunError
from semples.files import Writer, write_text


def test_all_files_are_written_in_order_when_the_block_ends(tmp_path: Path) -> None:
    order: list[int] = []

    def write(number: int) -> None:
        write_text(tmp_path / f"{number}.txt", str(number))
        order.append(number)

    with Writer(waiting=3) as writer:
        for number in range(20):
            writer.add(write, number)
    assert order == list(range(20))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {f"{n}.txt": str(n) for n in range(20)}


def test_the_number_of_pending_writes_is_limited() -> None:
    written: list[int] = []
    may_go = threading.Event()

    def write(number: int) -> None:
        may_go.wait(10)
        written.append(number)

    def release() -> None:
        assert written == []
        may_go.set()

    with Writer(waiting=2) as writer:
        writer.add(write, 0)
        writer.add(write, 1)
        timer = threading.Timer(0.2, release)
        timer.start()
        writer.add(write, 2)  # the third waits for the first
        assert 0 in written
    assert written == [0, 1, 2]


def test_a_failed_write_ends_the_block_and_nothing_is_written_after_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match="cannot be written"), Writer() as writer:  # noqa: PT012
        writer.add(write_text, tmp_path / "first.txt", "1")
        writer.add(write_text, tmp_path / "file" / "second.txt", "2")
        writer.add(write_text, tmp_path / "third.txt", "3")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "first.txt"]


def test_a_block_that_fails_raises_its_own_error_and_loses_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="mine"), Writer() as writer:  # noqa: PT012
        for number in range(9):
            writer.add(write_text, tmp_path / f"{number}.txt", "1")
        raise KeyError("mine")
    assert len(list(tmp_path.iterdir())) == 9
