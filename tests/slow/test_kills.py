"""A command that is killed at random moments in every stage, and started again, ends with the same bytes."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from run_files import SMALL, artefacts, metrics, running, stages, statuses, write_settings

KILLS, KILLS_PER_STAGE = 30, 4
PLACES = (
    "drawing scenes",
    *("0-classify", "1-match", "2-prompts", "3-refine", "4-pseudo-masks"),
    *("5-segment", "5-supervised-bound", "6-evaluate"),
)
LONGER = {"data.train_size": 24, "data.val_size": 8, "checkpoint_seconds": 0.1, "prompts.epochs": 20}


class Command:
    """``semples run`` with tiny settings on one thread, in its own process."""

    def __init__(self, folder: Path) -> None:
        self.config = write_settings(folder / "tiny.yaml", {**SMALL, **LONGER})

    def start(self, out: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "semples", "run", "--config", str(self.config), "--out", str(out), "--quiet"]
        one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=one_thread)

    def finish(self, out: Path) -> None:
        process = self.start(out)
        output, error = process.communicate()
        assert process.returncode == 0, output + error


def is_at_work(process: subprocess.Popen[str], out: Path) -> bool:
    """Whether the process has taken the run directory: before that it only imports."""
    lock = out / ".lock"
    return lock.is_file() and lock.read_text().startswith(f"process {process.pid} ")


def place(out: Path) -> str:
    """Return the stage that is running, or "" between stages."""
    return running(out) if stages(out) else PLACES[0]


def kill_in(target: str, seconds: float, process: subprocess.Popen[str], out: Path, rng: random.Random) -> str | None:
    """Kill the process at a random moment after it reaches the target; return its place, or None if it ended before."""
    while process.poll() is None and not (is_at_work(process, out) and place(out) == target):
        here = place(out)
        if here in PLACES and PLACES.index(here) > PLACES.index(target):
            break  # it was too quick
        time.sleep(0.001)
    time.sleep(rng.uniform(0, seconds))
    process.kill()
    _, error = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), error
    return place(out) or "between stages" if process.returncode else None


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_at_random_moments_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    rng, command = random.Random(0), Command(tmp_path)
    whole, out = tmp_path / "whole", tmp_path / "killed"
    command.finish(whole)
    seconds = {name: max(0.02, entry["seconds"]) for name, entry in stages(whole).items()}
    hits: Counter[str] = Counter()
    rounds = 0
    while sum(hits.values()) < KILLS or not all(hits[name] for name in PLACES):
        rounds += 1
        assert rounds <= 12, f"some stages are over before a kill comes: {hits}"
        shutil.rmtree(out, ignore_errors=True)
        for target in PLACES:
            # The preparation of a resumed stage (loading models, embedding) is part of its time.
            for _ in range(2 * KILLS_PER_STAGE):
                done = stages(out).get(target, {}).get("status") == "done"
                if done or hits[target] >= KILLS_PER_STAGE:
                    break
                where = kill_in(target, seconds.get(target, 0.5), command.start(out), out, rng)
                if where is None:
                    break
                hits[where] += 1
        command.finish(out)
        assert artefacts(out) == artefacts(whole)
        assert metrics(out) == metrics(whole)
        assert statuses(out) == statuses(whole)  # digests hold the times of the scenes, which every run draws anew
    print(json.dumps({"rounds": rounds, "kills": sum(hits.values()), **hits}))
