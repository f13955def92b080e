"""Bytes of a possibly compressed file, in bounded memory, up to where they can be trusted.

Reading never raises for a damaged or hostile archive: it ends, and `error` says why, so that what
came before can be kept.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from assets.ingestion.model import MIB, Compression, SourceError

RATIO_FLOOR_BYTES = 64 * MIB
_STEP = MIB
# a zstd block of 4 bytes can stand for 128 KiB, so little input is offered at a time
_ZSTD_STEP = 2048


class ByteStream:
    """Decompressed bytes of one file.

    Parameters
    ----------
    path
        The file.
    compression
        none, gzip (several members allowed) or zstd (several frames allowed).
    max_bytes
        Read no more than this much of the file, so that one that grows ends where it was seen.
    max_ratio
        Stop once the output exceeds this many times the input and 64 MiB.

    Notes
    -----
    The bytes delivered are a function of the file alone, not of the sizes asked for. Memory: the
    size asked for, plus at most 64 MiB for zstd.
    """

    def __init__(
        self,
        path: Path,
        compression: Compression = "none",
        *,
        max_bytes: int | None = None,
        max_ratio: float = 1000.0,
    ) -> None:
        self.path = path
        self.compression = compression
        self.error: str | None = None
        self._buffer = bytearray()
        self._ended = False
        self._left: int | None = None
        self._pin = max_bytes
        try:
            self._handle = path.open("rb")
        except OSError as error:
            reason = f"cannot be opened ({error.strerror})"
            raise SourceError(path, reason, "Check the name and the permissions.") from error
        if compression == "none":
            self._pieces = self._input(_STEP)
        else:
            size = path.stat().st_size if max_bytes is None else max_bytes
            self._left = max(RATIO_FLOOR_BYTES, int(size * max_ratio))
            self._limit = self._left
            self._pieces = self._gunzip() if compression == "gzip" else self._unzstd()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._handle.close()

    def read(self, size: int) -> bytes:
        """Return exactly `size` bytes, or fewer at the end; b"" after it."""
        while len(self._buffer) < size and not self._ended:
            piece = next(self._pieces, None)
            if piece is None:
                self._ended = True
                self._handle.close()
            elif self._left is None:
                self._buffer += piece
            else:
                self._buffer += piece[: self._left]
                if len(piece) > self._left:
                    self._stop(
                        f"decompresses to more than {self._limit} bytes, the limit that "
                        "max_decompressed_ratio sets"
                    )
                    self._ended = True
                self._left -= min(len(piece), self._left)
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _stop(self, error: str) -> None:
        self.error = f"{self.path.name}: {error}"

    def _input(self, step: int) -> Iterator[bytes]:
        left = self._pin
        while left is None or left > 0:
            try:
                piece = self._handle.read(step if left is None else min(step, left))
            except OSError as error:
                self._stop(f"reading failed ({error.strerror})")
                return
            if not piece:
                return
            if left is not None:
                left -= len(piece)
            yield piece

    def _gunzip(self) -> Iterator[bytes]:
        member: Any = None
        members = 0
        for piece in self._input(64 * 1024):
            pending = piece
            while pending:
                if member is None:
                    # bytes after a member that start no other one: gzip itself pads with zeros
                    pending = pending.lstrip(b"\0") if members else pending
                    if not pending:
                        break
                    members += 1
                    member = zlib.decompressobj(wbits=31)
                try:
                    output = member.decompress(pending, _STEP)
                except zlib.error as error:
                    self._stop(f"damaged gzip data ({error})")
                    return
                if output:
                    yield output
                if member.eof:
                    pending = member.unused_data
                    member = None
                else:
                    pending = member.unconsumed_tail
        if member is not None:
            try:
                output = member.flush()
            except zlib.error:
                output = b""
            if output:
                yield output
            self._stop("the gzip data ends early")

    def _unzstd(self) -> Iterator[bytes]:
        import zstandard

        frame: Any = None
        for piece in self._input(_ZSTD_STEP):
            pending = piece
            while pending:
                if frame is None:
                    frame = zstandard.ZstdDecompressor().decompressobj()
                try:
                    output = frame.decompress(pending)
                except (zstandard.ZstdError, MemoryError) as error:
                    self._stop(f"damaged zstd data ({error})")
                    return
                if output:
                    yield output
                if frame.eof:
                    pending = frame.unused_data
                    frame = None
                else:
                    pending = b""
        if frame is not None:
            self._stop("the zstd data ends early")
