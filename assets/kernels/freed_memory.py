"""Give memory that was freed back to the system.

The allocators of C and of Arrow keep freed pages for later. A search that makes and frees a few hundred small
arrays for each megabyte of text keeps some tens of megabytes that way, which counts against its bound.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable

import pyarrow as pa


def give_back() -> None:
    """Return what was freed; about 1 ms, and nothing but Arrow's part where the C library can't."""
    pa.default_memory_pool().release_unused()
    _trim()(0)


@functools.cache
def _trim() -> Callable[[int], int]:
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # not glibc
        return lambda _: 0
    return trim


class GiveBack:
    """Calls `give_back` once in every so many bytes that are worked on."""

    def __init__(self, every_bytes: int = 16 << 20) -> None:
        self._every, self._done = every_bytes, 0

    def add(self, count: int) -> None:
        """Count some bytes."""
        self._done += count
        if self._done >= self._every:
            self._done = 0
            give_back()
