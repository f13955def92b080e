"""Row hashes of which any range can be read without the rest: what files and memory have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Protocol

import numpy as np

from assets.containment.hash_runs import RUN_ROWS, Run, of_range, order
from assets.kernels.xxh64 import Hashes

Ranges = Callable[[int], list[Hashes]]
"""Gives the hashes of one range, as often as it is asked."""


class Ranged(Protocol):
    """Hashes of which a range can be read."""

    @property
    def size(self) -> int:
        """How many there are."""

    def by_range(self, bits: int) -> AbstractContextManager[Ranges]:
        """Open them for reading range by range: those that begin with the same `bits` bits."""


class InPieces(Ranged, Protocol):
    """Hashes that are read from somewhere, as often as asked for; equal ones in the order of their rows."""

    def pieces(self) -> Iterable[Hashes]:
        """Return all of them, some at a time."""

    def first_rows(self, wanted: Hashes) -> dict[int, int]:
        """Find the first row, counted from 0, of each of some hashes, sorted, that are there."""


class Held:
    """An array as `Ranged`; takes as much memory again.

    Parameters
    ----------
    hashes
        In any order.
    """

    def __init__(self, hashes: Hashes) -> None:
        self.size = hashes.size
        starts = range(0, hashes.size, RUN_ROWS)
        self._runs = [_ordered(hashes[start : start + RUN_ROWS]) for start in starts]

    @contextmanager
    def by_range(self, bits: int) -> Iterator[Ranges]:
        """Give views of the array."""

        def of(number: int) -> list[Hashes]:
            parts = []
            for run, hashes in self._runs:
                low, high = run.between(number, bits)
                own = hashes[low:high]
                parts.append(own if run.bits >= bits else of_range(own, number, bits))
            return parts

        yield of


def _ordered(hashes: Hashes) -> tuple[Run, Hashes]:
    out = np.empty_like(hashes)
    return order(hashes, 0, out, np.empty(hashes.size, np.uint32)), out


class Unordered:
    """An array as `Ranged`, of which each range is looked for anew: without memory, for a few ranges.

    Parameters
    ----------
    hashes
        In any order.
    """

    def __init__(self, hashes: Hashes) -> None:
        self.size = hashes.size
        self._hashes = hashes

    @contextmanager
    def by_range(self, bits: int) -> Iterator[Ranges]:
        """Give copies of what is in a range, or the array if all is."""
        yield lambda number: [of_range(self._hashes, number, bits) if bits else self._hashes]


@contextmanager
def all_by_range(parts: Sequence[Ranged], bits: int) -> Iterator[Ranges]:
    """Open several as one."""
    with ExitStack() as stack:
        opened = [stack.enter_context(part.by_range(bits)) for part in parts]
        yield lambda number: [piece for own in opened for piece in own(number)]


def as_ranged(hashes: Hashes | InPieces) -> Ranged:
    """Return hashes as something of which all ranges are read."""
    return Held(hashes) if isinstance(hashes, np.ndarray) else hashes
