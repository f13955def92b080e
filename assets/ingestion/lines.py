"""Lines of a UTF-8 stream: LF, CR LF and lone CR all end one, mixed or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from assets.ingestion.transcode import Utf8Stream

BLOCK_BYTES = 4 << 20


@dataclass(slots=True)
class LineBlock:
    """Some whole lines without their ends; `too_long` holds the indexes of lines cut short."""

    lines: list[bytes] = field(default_factory=list)
    too_long: set[int] = field(default_factory=set)


class Lines:
    """Iterate blocks of lines in bounded memory.

    A line of more than `max_bytes` is passed over without being held; its first 2 kB stand for it.
    After iteration `tail` is what an early end (`stream.error`) left of an unfinished line, which
    is then not a line; without an error the last line needs no end.
    """

    def __init__(self, stream: Utf8Stream, max_bytes: int, block_bytes: int = BLOCK_BYTES) -> None:
        self._stream = stream
        self._max_bytes = max_bytes
        self._block_bytes = block_bytes
        self.tail = b""

    def __iter__(self) -> Iterator[LineBlock]:
        carry = bytearray()
        skipping = b""  # the start of an overlong line that is being passed over
        final = False
        while not final:
            piece = self._stream.read(max(self._block_bytes, len(carry)))
            final = not piece
            carry += piece
            cut = _last_end(carry, final=final)
            block = LineBlock()
            if cut:
                lines = bytes(carry[:cut]).splitlines()
                del carry[:cut]
                if skipping:
                    lines[0] = skipping
                    block.too_long.add(0)
                    skipping = b""
                block.lines = lines
            if final and (carry or skipping):
                if self._stream.error is not None:
                    self.tail = skipping or bytes(carry[:8000])
                else:
                    block.lines.append(skipping or bytes(carry))
                    if skipping:
                        block.too_long.add(len(block.lines) - 1)
            elif len(carry) > self._max_bytes + 1 or skipping:
                skipping = skipping or bytes(carry[: min(8000, self._max_bytes)]) or b"\0"
                # a CR at the very end may be half of a CR LF, so it is kept
                carry = bytearray(b"\r") if carry.endswith(b"\r") else bytearray()
            block.too_long.update(
                i for i, line in enumerate(block.lines) if len(line) > self._max_bytes
            )
            if block.lines:
                yield block


def _last_end(buffer: bytearray, *, final: bool) -> int:
    """Return the index after the last complete line end, 0 if none."""
    stop = len(buffer)
    if not final and buffer.endswith(b"\r"):
        stop -= 1
    return max(buffer.rfind(b"\n", 0, stop), buffer.rfind(b"\r", 0, stop)) + 1
