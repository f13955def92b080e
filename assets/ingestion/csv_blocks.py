"""Where a block of CSV can be cut, found with array operations.

Counting quotes tells inside from outside only if every quote stands where quotes belong: an opening
one at the start of a cell, a closing one at its end. That is checked, not assumed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_LF, _CR = 10, 13


class Cut(NamedTuple):
    """`end`: the block up to here is whole records with quotes in their places (0: none found).

    `dirty`: a quote out of place, or one still open at the end of the file, follows; the careful
    parser must go on from `end`.
    """

    end: int
    dirty: bool


def find_cut(buffer: bytes, delimiter: str, quote: str, *, final: bool) -> Cut:
    """Find the longest prefix that is whole, well-quoted records.

    Parameters
    ----------
    buffer
        Bytes from the start of a record.
    delimiter, quote
        One ASCII character each; an empty quote turns quoting off.
    final
        Whether the buffer reaches the end of the file, whose last record needs no line end.

    Notes
    -----
    Proof of soundness: by induction over quotes. If all quotes before one are in place, the number
    of them tells the parser's state there. An even one (0-based) must open: it follows a delimiter,
    a line end or the start, or it directly follows a quote (the second of a doubled one). An odd
    one must close: a delimiter, a line end, another quote or the end of the file follows. Cost: one
    pass over the bytes at memory speed, plus work per quote.
    """
    size = len(buffer)
    if not quote or quote.encode() not in buffer:
        return Cut(size if final else _line_end(buffer, size, final=False), dirty=False)
    data = np.frombuffer(buffer, dtype=np.uint8)
    mark = ord(quote)
    quotes = np.flatnonzero(data == mark)
    opening, closing = quotes[0::2], quotes[1::2]
    edges = np.zeros(256, dtype=bool)
    edges[[ord(delimiter), _LF, _CR, mark]] = True
    bad_opening = opening[~edges[data[np.maximum(opening - 1, 0)]] & (opening > 0)]
    inner = closing[closing + 1 < size]
    bad_closing = inner[~edges[data[inner + 1]]]
    first_bad = min(
        int(bad_opening[0]) if bad_opening.size else size,
        int(bad_closing[0]) if bad_closing.size else size,
    )
    if first_bad == size and final and quotes.size % 2 == 0:
        return Cut(size, dirty=False)
    end = _outside_line_end(buffer, quotes, first_bad, final=final)
    return Cut(end, dirty=first_bad < size or final)


def _line_end(buffer: bytes, stop: int, *, final: bool) -> int:
    if stop == len(buffer) and not final and buffer.endswith(b"\r"):
        stop -= 1
    return max(buffer.rfind(b"\n", 0, stop), buffer.rfind(b"\r", 0, stop)) + 1


def _outside_line_end(
    buffer: bytes, quotes: np.ndarray[tuple[int], np.dtype[np.intp]], stop: int, *, final: bool
) -> int:
    while stop > 0:
        end = _line_end(buffer, stop, final=final)
        before = int(np.searchsorted(quotes, end))
        if before % 2 == 0:
            return end
        stop = int(quotes[before - 1])
    return 0
