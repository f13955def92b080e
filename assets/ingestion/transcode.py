"""Any encoding to UTF-8, as a stream; what was not valid stays not valid.

Readers work on UTF-8 only. An ill-formed sequence of the source becomes an ill-formed UTF-8
sequence, so that the one check in each reader rejects just the record that holds it.
"""

from __future__ import annotations

import codecs
from typing import Protocol

from assets.ingestion.decompress import ByteStream
from assets.ingestion.model import ReadOptions, Source

_STEP = 1 << 20
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_UTF8 = {"utf-8", "ascii"}
_LOST, _REPLACED = "\udcff", "\ufffd"  # not valid when encoded, and valid


class Utf8Stream(Protocol):
    """Bytes that are UTF-8 where the source was valid."""

    @property
    def error(self) -> str | None:
        """Why the stream ended early, or None."""

    def read(self, size: int) -> bytes:
        """Return about `size` bytes; b"" only at the end."""

    def close(self) -> None:
        """Close the file."""


def encoding_of(head: bytes, stated: str | None) -> tuple[str, int]:
    """Return the codec name and the length of the byte order mark.

    A mark decides where none is stated; with UTF-16 or UTF-32 stated without byte order, the mark
    decides the order, and little-endian is taken without one.
    """
    name = codecs.lookup(stated).name if stated is not None else None
    for mark, encoding in _BOMS:
        if head.startswith(mark) and (name is None or encoding.startswith(name.split("-sig")[0])):
            return encoding, len(mark)
    if name in ("utf-16", "utf-32"):
        return f"{name}-le", 0
    return {None: "utf-8", "utf-8-sig": "utf-8"}.get(name, name or "utf-8"), 0


class _Transcoder:
    def __init__(self, stream: ByteStream, head: bytes, encoding: str, *, replace: bool) -> None:
        self._stream = stream
        self._head = head
        self._ended = False
        self._replace = replace
        errors = "surrogatepass" if encoding.startswith("utf-") else "surrogateescape"
        if replace:
            errors = "replace"
        self._decoder = codecs.getincrementaldecoder(encoding)(errors)

    @property
    def error(self) -> str | None:
        return self._stream.error

    def close(self) -> None:
        self._stream.close()

    def read(self, size: int) -> bytes:
        while not self._ended:
            piece = self._head + self._stream.read(size)
            self._head = b""
            if piece:
                text = self._decode(piece)
            else:
                self._ended = True
                pending = self._decoder.getstate()[0]
                bad = _REPLACED if self._replace else _LOST
                text = bad if pending and self._stream.error is None else ""
            if text:
                return text.encode("utf-8", "surrogatepass")
        return b""

    def _decode(self, piece: bytes) -> str:
        try:
            return self._decoder.decode(piece)
        except UnicodeDecodeError:
            # rare (UTF-32 beyond the code space, some multi-byte codecs): unit by unit
            return self._decode_slowly(piece)

    def _decode_slowly(self, piece: bytes) -> str:
        parts: list[str] = []
        for value in piece:
            try:
                parts.append(self._decoder.decode(bytes([value])))
            except UnicodeDecodeError:
                self._decoder.reset()
                parts.append(_LOST)
        return "".join(parts)


class _Prefixed:
    def __init__(self, stream: ByteStream, head: bytes) -> None:
        self._stream = stream
        self._head = head

    @property
    def error(self) -> str | None:
        return self._stream.error

    def close(self) -> None:
        self._stream.close()

    def read(self, size: int) -> bytes:
        if self._head:
            piece = self._head + self._stream.read(max(0, size - len(self._head)))
            self._head = b""
            return piece
        return self._stream.read(size)


def open_utf8(source: Source, options: ReadOptions, *, replace: bool = False) -> Utf8Stream:
    """Open the one file of a source as UTF-8 bytes without byte order mark.

    Reads no further than the size that discovery saw. With `replace` what is ill-formed becomes
    U+FFFD. Raises `SourceError` if it can't be opened.
    """
    file = source.files[0]
    stream = ByteStream(
        file.path,
        source.compression,
        max_bytes=file.bytes,
        max_ratio=options.max_decompressed_ratio,
    )
    head = stream.read(4)
    encoding, skip = encoding_of(head, options.encoding)
    if encoding in _UTF8 and not replace:
        return _Prefixed(stream, head[skip:])
    return _Transcoder(stream, head[skip:], encoding, replace=replace)
