"""Memory allocation for training on a CPU: keep freed memory instead of returning it to the kernel."""

from __future__ import annotations

import ctypes
import os
import sys

from dragoman.runtime.session import return_memory

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # malloc.h


def keep_freed_memory() -> bool:
    """Serve large tensors from the heap and never shrink it. True where that took effect (Linux with glibc).

    Otherwise every large tensor is mapped, faulted in page by page and unmapped again: several times the cost of the
    arithmetic in a training step on the CPU.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    largest = 2**31 - 1
    return all([mallopt(_M_MMAP_MAX, 0), mallopt(_M_TRIM_THRESHOLD, largest), mallopt(_M_TOP_PAD, 256 << 20)])


LIMIT = 1 << 30  # bytes that the heap may hold before it is looked through


ROOM = 2  # times what is really used; half as much costs a third more time


class Heap:
    """Bounds what `keep_freed_memory` keeps: tensors of ever other sizes leave gaps that later ones do not fit into."""

    def __init__(self) -> None:
        self.limit = LIMIT

    def tidy(self) -> None:
        """Give the gaps back to the system once there is much of them; the limit rises with what is really used."""
        if self.used() > self.limit:
            return_memory()
            self.limit = max(LIMIT, ROOM * self.used())

    @staticmethod
    def used() -> int:
        """Bytes of this process's own memory that are in use, gaps included; 0 where the system does not tell."""
        try:
            with open("/proc/self/statm") as file:
                _, resident, shared, *_ = map(int, file.read().split())
        except (OSError, ValueError):
            return 0
        return (resident - shared) * os.sysconf("SC_PAGE_SIZE")
