"""Freed memory stays with the process."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

# Takes and frees a block of 64 MB six times, and prints what changed and the pages that the system had to hand out.
FAULTS = """
import resource
from semples.cli.allocator import keep_freed_memory
changed = {how}
for _ in range(6):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    b"1" * 2**26
print(changed, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str, **variables: str) -> tuple[str, int]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")} | variables
    command = [sys.executable, "-c", FAULTS.format(how=how)]
    words = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split()
    return words[0], int(words[1])


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library: nothing is changed")
def test_a_block_that_was_freed_is_taken_again_without_new_pages() -> None:
    plain, kept = faults("None"), faults("keep_freed_memory()")
    assert plain[1] > 20  # 16,384 pages of 4 kB, where they are that small
    assert kept[0] == "True"
    assert kept[1] < plain[1] / 10


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library: nothing is changed")
def test_what_the_environment_says_wins() -> None:
    said = {"MALLOC_TRIM_THRESHOLD_": "131072", "MALLOC_MMAP_THRESHOLD_": "131072"}
    changed, new_pages = faults("keep_freed_memory()", **said)
    assert changed == "False"
    assert new_pages > 20
