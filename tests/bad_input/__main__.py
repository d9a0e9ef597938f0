"""Try every bad input, and print how many ended right: ``python -m tests.bad_input``."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch

from .case import problems
from .every import CASES


def main() -> int:
    """Print a line for each kind and for each input that did not end right; return the exit status."""
    torch.set_num_threads(1)
    tried: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            found = problems(case, Path(folder))
        tried[case.kind] += 1
        right[case.kind] += not found
        if found:
            print(f"{case}: {'; '.join(found)}", file=sys.stderr)
    for kind, count in tried.items():
        print(f"{kind:20} {count:4} bad inputs, {right[kind]:4} ended right")
    print(f"{'all':20} {tried.total():4} bad inputs, {right.total():4} ended right")
    return int(right.total() < tried.total())


if __name__ == "__main__":
    sys.exit(main())
