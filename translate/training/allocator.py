"""Memory allocation for training on a CPU: keep freed memory instead of returning it to the kernel at every step."""

from __future__ import annotations

import os

from dragoman.runtime.memory import MMAP_MAX, TOP_PAD, TRIM_THRESHOLD, return_memory, set_options

HEAP_LIMIT = 1 << 30  # bytes that the heap may hold before it is trimmed
HEAP_GROWTH = 2  # the limit rises to this multiple of what is in use; half of it costs a third more time


def keep_freed_memory() -> bool:
    """Make glibc's malloc serve large tensors from the heap and never shrink it. Return True where this takes effect.

    By default glibc maps every large tensor, faults it in page by page and unmaps it again. In a training step on a CPU
    that costs several times as much as the arithmetic. Only Linux with glibc supports it.
    """
    return set_options({MMAP_MAX: 0, TRIM_THRESHOLD: 2**31 - 1, TOP_PAD: 256 << 20})


class HeapTrimmer:
    """Upper bound for the memory that `keep_freed_memory` keeps.

    Tensors of ever new sizes fragment the heap: they leave gaps that later tensors do not fit into.
    """

    def __init__(self) -> None:
        self.limit = HEAP_LIMIT

    def trim(self) -> None:
        """Return the gaps to the kernel once the heap exceeds its limit, then adapt the limit to what is in use."""
        if self.resident_bytes() > self.limit:
            return_memory()
            self.limit = max(HEAP_LIMIT, HEAP_GROWTH * self.resident_bytes())

    @staticmethod
    def resident_bytes() -> int:
        """Return this process's resident memory in bytes, without shared pages; 0 if it is unknown."""
        try:
            with open("/proc/self/statm") as file:
                _, resident, shared, *_ = map(int, file.read().split())
        except (OSError, ValueError):
            return 0
        return (resident - shared) * os.sysconf("SC_PAGE_SIZE")
