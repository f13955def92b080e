"""The careful CSV parser: one record at a time, in plain Python, for bytes of any shape.

This is the definition of what a CSV record is; the block parser in `csv_reader` must agree with it.

* A record ends at LF, CR LF or a lone CR outside quotes; a line without a byte is no record.
* A quote opens a quoted cell only as the first character of a cell. Inside, a doubled quote is one
  quote. What follows the closing quote up to the delimiter is kept literally.
* An empty cell without quotes is null; `""` is the empty string.
* A quote that never closes: everything from the start of its record to the end of the file is one
  record, which is rejected.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

Cell = bytes | None


@dataclass(slots=True)
class Record:
    """One record: its raw bytes without line end, and its cells (None: a quote never closes)."""

    raw: bytes
    cells: list[Cell] | None
    end: int


class CellParser:
    """Parse records from a buffer that starts at the start of a record.

    Parameters
    ----------
    delimiter, quote
        One ASCII character each; an empty quote turns quoting off.
    """

    def __init__(self, delimiter: str, quote: str) -> None:
        self._delimiter = delimiter.encode("ascii")
        self._quote = quote.encode("ascii")
        self._stop = re.compile(b"[" + re.escape(self._delimiter) + b"\r\n]")

    def records(self, buffer: bytes, *, final: bool) -> Iterator[Record]:
        """Yield whole records in order; blank lines are passed over.

        Parameters
        ----------
        buffer
            UTF-8 bytes (validity is not looked at).
        final
            Whether the buffer reaches the end of the file. If not, a record without its line end is
            left for the next call, and so is one that ends in CR as the last byte.

        Yields
        ------
        Record
            With `end`, the offset after its line end: where the next record starts.
        """
        start = 0
        size = len(buffer)
        while start < size:
            if buffer[start] in b"\r\n":
                start += 1
                continue
            record = self._record(buffer, start, size, final=final)
            if record is None:
                return
            yield record
            start = record.end

    def _record(self, buffer: bytes, start: int, size: int, *, final: bool) -> Record | None:
        cells: list[Cell] = []
        at = start
        quote = self._quote
        while True:
            quoted = bool(quote) and buffer.startswith(quote, at)
            value = b""
            if quoted:
                closed = self._closing_quote(buffer, at + 1)
                if closed < 0 or (closed + 1 == size and not final):
                    # at the edge of a buffer a quote may be the first of a doubled one
                    return Record(buffer[start:], None, size) if final else None
                value = buffer[at + 1 : closed].replace(quote + quote, quote)
                at = closed + 1
            match = self._stop.search(buffer, at)
            if match is None:
                if not final:
                    return None
                cells.append(value + buffer[at:] if quoted or at < size else None)
                return Record(buffer[start:], cells, size)
            stop = match.start()
            value += buffer[at:stop]
            cells.append(value if quoted or value else None)
            if match.group() == self._delimiter:
                at = stop + 1
                continue
            end = stop + 1
            if match.group() == b"\r":
                if end == size and not final:
                    return None
                if buffer.startswith(b"\n", end):
                    end += 1
            return Record(buffer[start:stop], cells, end)

    def _closing_quote(self, buffer: bytes, at: int) -> int:
        quote = self._quote
        while True:
            at = buffer.find(quote, at)
            if at < 0 or not buffer.startswith(quote, at + 1):
                return at
            at += 2


class RecordSkipper:
    """Find the end of a record too long to hold, fed piece by piece from the record's start."""

    def __init__(self, delimiter: str, quote: str) -> None:
        self._delimiter = delimiter.encode("ascii")
        self._quote = quote.encode("ascii")
        self._plain = re.compile(b"[" + re.escape(self._delimiter) + b"\r\n]")
        self._state = "start"
        self.bytes = 0

    @property
    def in_quotes(self) -> bool:
        """Whether what was fed so far ends inside quotes."""
        return self._state == "quoted"

    def feed(self, piece: bytes) -> int | None:
        """Return the offset of the record's line end in this piece, or None if it is not there."""
        at = 0
        size = len(piece)
        while at < size:
            if self._state == "closing":
                self._state = "quoted" if piece.startswith(self._quote, at) else "plain"
                at += self._state == "quoted"
            elif self._state == "quoted":
                at = piece.find(self._quote, at) + 1
                if not at:
                    break
                self._state = "closing"
            elif self._state == "start" and self._quote and piece.startswith(self._quote, at):
                self._state = "quoted"
                at += 1
            else:
                match = self._plain.search(piece, at)
                if match is None:
                    self._state = "plain"
                    break
                if match.group() != self._delimiter:
                    self.bytes += match.start()
                    return match.start()
                self._state = "start"
                at = match.end()
        self.bytes += size
        return None
