"""Loops that numba compiles for this machine, with the types that they were written with.

numba has no types of its own, so a bare ``njit`` would make every loop untyped for the reader and the checker. Compiled
code is kept between processes and lets go of the interpreter's lock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import numba

_F = TypeVar("_F", bound=Callable[..., Any])


def compiled(function: _F) -> _F:
    """Compile a loop at its first call."""
    made: _F = numba.njit(cache=True, nogil=True)(function)
    return made


def inlined(function: _F) -> _F:
    """Compile a small function into each loop that calls it."""
    made: _F = numba.njit(cache=True, nogil=True, inline="always")(function)
    return made


def compiled_with(
    *liberties: Literal["reassoc", "contract", "nnan", "nsz"],
) -> Callable[[_F], _F]:
    """Compile a loop that may take liberties with floating point, by LLVM's names of them.

    Whoever takes one says next to it why the result is the same.
    """

    def decorate(function: _F) -> _F:
        made: _F = numba.njit(cache=True, nogil=True, fastmath=set(liberties))(function)
        return made

    return decorate
