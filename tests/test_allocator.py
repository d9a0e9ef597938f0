"""The process keeps freed memory."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

# Allocates and frees 64 MB six times; prints whether the settings changed, and the page faults of the last time.
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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_a_freed_block_is_reused_without_new_pages() -> None:
    plain, kept = faults("None"), faults("keep_freed_memory()")
    assert plain[1] > 20  # 16,384 pages if a page has 4 kB; fewer if pages are larger
    assert kept[0] == "True"
    assert kept[1] < plain[1] / 10


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_environment_variables_take_precedence() -> None:
    variables = {"MALLOC_TRIM_THRESHOLD_": "131072", "MALLOC_MMAP_THRESHOLD_": "131072"}
    changed, new_pages = faults("keep_freed_memory()", **variables)
    assert changed == "False"
    assert new_pages > 20
