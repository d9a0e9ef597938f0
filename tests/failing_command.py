"""``semples run`` in one of several processes, of which the last meets bad input while the others wait for it."""

from __future__ import annotations

import sys
import types

from semples.cli import main
from semples.distributed import processes, rank, wait, world
from semples.errors import DataError


def run(**_: object) -> None:
    """In place of the pipeline, whose imports take seconds."""
    with processes(on_cpu=True):
        wait()
        if rank() == world() - 1:
            raise DataError("image 7 is damaged: remove it")
        wait()


if __name__ == "__main__":
    api = types.ModuleType("semples.api")
    api.run = run  # type: ignore[attr-defined]
    sys.modules["semples.api"] = api
    sys.exit(main(sys.argv[1:]))
