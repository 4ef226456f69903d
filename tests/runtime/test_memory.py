"""Memory that a process keeps between the nodes of a graph."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dragoman.runtime import memory

# Allocates, fills and frees three blocks, like the tensors of a decoding step, and prints the number of page faults.
STEPS = """
import ctypes, resource, sys
from dragoman.runtime.memory import keep_memory
if sys.argv[1] == "keep":
    keep_memory()
libc = ctypes.CDLL("libc.so.6")
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
size = 3_400_000
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    blocks = [libc.malloc(ctypes.c_size_t(size)) for _ in range(3)]
    for block in blocks:
        ctypes.memset(block, 1, size)
    for block in blocks:
        libc.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not memory.set_options({}), reason="only glibc has mallopt")
def test_freed_memory_is_used_again() -> None:
    faults = {
        mode: int(subprocess.run([sys.executable, "-c", STEPS, mode], check=True, capture_output=True).stdout)
        for mode in ("keep", "default")
    }
    assert faults["keep"] < faults["default"] / 10


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not memory.set_options({memory.TRIM_THRESHOLD: memory.KEPT})
    memory.keep_memory()
    memory.return_memory()
