"""The display of a training on a terminal, how rarely it waits for the device, and silence without a terminal."""

from __future__ import annotations

import io
import re

import pytest
import torch
from rich.console import Console

from semples.training import progress
from semples.training.progress import TrainingLog, losses_line
from test_training import train


class Clock:
    """A clock set by the test."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def terminal(width: int = 100) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)


def shown(console: Console) -> str:
    """Everything written, without the codes that move the cursor."""
    assert isinstance(console.file, io.StringIO)
    return re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", console.file.getvalue())


MEANS = {"loss": {"loss": 1.5}, "parts": {"pull": 1.25, "push": 0.25}, "figures": {"mask_area": 0.1}}


def test_stage_epoch_losses_speed_and_time(clock: Clock) -> None:
    console = terminal()
    with TrainingLog(quiet=False, console=console).training("refine", epochs=3, steps=4, done=5) as bar:
        clock.now = 0.5
        bar.advance(8, lambda: MEANS)
        clock.now = 2.0
        bar.advance(8, lambda: MEANS)
    last = shown(console)
    assert "refine  epoch 2/3" in last
    assert "7/12" in last
    assert "8 images/s" in last  # 16 images in 2 seconds
    assert re.search(r"\d:\d\d:\d\d|-:--:--", last)
    assert "loss 1.5 = pull 1.25 + push 0.25" in last


def test_losses_are_read_once_a_second_at_most(clock: Clock) -> None:
    read = 0

    def means() -> dict[str, dict[str, float]]:
        nonlocal read
        read += 1
        return MEANS

    with TrainingLog(quiet=False, console=terminal()).training("refine", epochs=1, steps=100) as bar:
        for step in range(100):
            clock.now = 0.05 * (step + 1)  # 5 seconds in all
            bar.advance(4, means)
    assert read == 5


@pytest.mark.parametrize(("quiet", "is_terminal"), [(True, True), (False, False)])
def test_without_a_terminal_nothing_is_read_or_drawn(clock: Clock, quiet: bool, is_terminal: bool) -> None:
    console = Console(file=io.StringIO(), force_terminal=is_terminal, quiet=quiet)

    def never() -> dict[str, dict[str, float]]:
        raise AssertionError("waited for the device")

    log = TrainingLog(quiet=quiet, console=console)
    with log.training("refine", epochs=1, steps=2) as bar:
        clock.now = 10.0
        bar.advance(4, never)
    assert list(log.track([1, 2], "CAMs")) == [1, 2]
    assert shown(console).strip() == ""


def test_forced_colors_do_not_make_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert TrainingLog(quiet=False).quiet


def test_messages_are_plain_lines_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    TrainingLog(quiet=False).message("classify  warning: few images of boat[s], " + "x" * 200)
    assert capsys.readouterr() == ("", "classify  warning: few images of boat[s], " + "x" * 200 + "\n")
    TrainingLog(quiet=True).message("classify")
    assert capsys.readouterr() == ("", "")


def test_a_narrow_terminal_cuts_the_losses_and_keeps_to_two_lines(clock: Clock) -> None:
    console = terminal(width=40)
    many = {"loss": {"loss": 1.0}, "parts": {f"a_long_name_of_a_part_{i}": 0.1 for i in range(9)}}
    with TrainingLog(quiet=False, console=console).training("refine", epochs=1, steps=2) as bar:
        clock.now = 1.0
        bar.advance(1, lambda: many)
    losses = [line for line in shown(console).splitlines() if "loss 1" in line]
    assert losses
    assert all(len(line) <= 40 and line.rstrip().endswith("…") for line in losses)


def test_the_training_loop_shows_its_means_and_learns_the_same(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_READINGS", 0.0)
    monkeypatch.setattr(clock, "monotonic", iter(range(1000)).__next__)
    console = terminal()
    watched = train(TrainingLog(quiet=False, console=console), epochs=2)
    assert re.search(r"toy  epoch 2/2 .*4/4", shown(console))
    assert re.search(r"loss [\d.e+]+ = data [\d.e+]+", shown(console))
    assert torch.equal(watched.weight, train(TrainingLog(), epochs=2).weight)


def test_a_loss_of_one_part() -> None:
    assert losses_line({"loss": {"loss": 12345.6}, "parts": {"cam": 12345.6}}) == "loss 1.23e+04 = cam 1.23e+04"
