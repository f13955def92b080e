"""A bound on memory that several threads share."""

from __future__ import annotations

import threading


class Room:
    """Bytes that may still be held.

    Parameters
    ----------
    left
        How many there are at the start.
    """

    def __init__(self, left: int) -> None:
        self._left = left
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Take some of it; False if there is not so much left."""
        with self._lock:
            if size > self._left:
                return False
            self._left -= size
            return True

    def give_back(self, size: int) -> None:
        """Give back what was taken."""
        with self._lock:
            self._left += size
