"""``semples run`` in one of several processes, of which the last meets bad input while the others wait for it."""

from __future__ import annotations

import sys

import semples
from semples.cli import main
from semples.errors import DataError
from semples.parallel.processes import barrier, process_group, rank, world_size


def run(**_: object) -> None:
    """In place of the pipeline, whose imports take seconds."""
    with process_group(on_cpu=True):
        barrier()
        if rank() == world_size() - 1:
            raise DataError("image 7 is damaged: remove it")
        barrier()


if __name__ == "__main__":
    vars(semples)["run"] = run
    sys.exit(main(sys.argv[1:]))
