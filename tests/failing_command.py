"""``semples run`` in one of several processes, of which the last meets bad input while the others wait for it."""

from __future__ import annotations

import sys

import semples
from semples.cli import main
from semples.errors import DataError
from semples.parallel.processes import processes, rank, wait, world


def run(**_: object) -> None:
    """In place of the pipeline, whose imports take seconds."""
    with processes(on_cpu=True):
        wait()
        if rank() == world() - 1:
            raise DataError("image 7 is damaged: remove it")
        wait()


if __name__ == "__main__":
    vars(semples)["run"] = run
    sys.exit(main(sys.argv[1:]))
