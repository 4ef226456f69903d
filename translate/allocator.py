"""glibc's allocator, told to keep the memory of large tensors instead of giving it back at every step."""

from __future__ import annotations

import ctypes
import sys

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
