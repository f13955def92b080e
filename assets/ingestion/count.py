"""How many records a source holds, counted another way than its reader counts.

Used to prove that nothing was lost on the way in. What counts as a record:

* CSV, TSV: a record after the header, by the standard library's csv module run over the file's
  skeleton (delimiters, quotes, line ends, and one letter for any run of other bytes). Blank lines
  are none. A quote that never closes makes the rest of the file one record.
* JSON Lines: a line that is not blank. JSON: the elements of the list, or one.
* Text: one, or every line.
* Parquet: the footers. Delta: the log, less deleted rows.
* Where a compressed file ends early or is cut at its limit, the unfinished last record is none (a
  text file as one record stays one; it is rejected).
"""

from __future__ import annotations

import codecs
import csv
import json
import re
import sys
import threading
from collections.abc import Iterator

from assets.ingestion.decompress import ByteStream
from assets.ingestion.model import MIB, ReadOptions, Source, SourceError
from assets.ingestion.transcode import encoding_of

_csv_limit = threading.Lock()


class _CutShort(Exception):  # noqa: N818 - a signal, not a fault
    """The file ends within a record."""


def independent_count(source: Source, options: ReadOptions | None = None) -> int:
    """Count the records of a source.

    Parameters
    ----------
    source, options
        The same that the source was read with.

    Returns
    -------
    int
        Equal to rows delivered + rejects with a position, for every source that `read` accepts.

    Raises
    ------
    SourceError
        If the source as a whole cannot be read.

    Notes
    -----
    Cost: metadata only for Parquet and Delta; one pass over the bytes else. Memory: a few blocks,
    and the whole document for JSON.
    """
    options = options or ReadOptions()
    match source.format:
        case "csv" | "tsv":
            return _csv(source, options)
        case "jsonl":
            return _json_lines(source, options)
        case "json":
            return _json(source, options)
        case "text":
            return 1 if options.text == "file" else _text_lines(source, options)
        case "parquet":
            return _parquet(source, options)
        case "delta":
            return _delta(source)


class _Pieces:
    """Decoded pieces of a file, re-encoded as UTF-8; whether they were valid is no matter here."""

    def __init__(self, source: Source, options: ReadOptions) -> None:
        file = source.files[0]
        self._stream = ByteStream(
            file.path,
            source.compression,
            max_bytes=file.bytes,
            max_ratio=options.max_decompressed_ratio,
        )
        self._encoding = options.encoding

    @property
    def error(self) -> str | None:
        return self._stream.error

    def __iter__(self) -> Iterator[bytes]:
        with self._stream as stream:
            head = stream.read(MIB)
            encoding, skip = encoding_of(head, self._encoding)
            piece = head[skip:]
            decoder = None
            if encoding != "utf-8":
                decoder = codecs.getincrementaldecoder(encoding)("replace")
            while piece:
                text = decoder.decode(piece).encode("utf-8", "replace") if decoder else piece
                if text:
                    yield text
                piece = stream.read(MIB)
            if decoder is not None and stream.error is None:
                rest = decoder.decode(b"", final=True).encode("utf-8", "replace")
                if rest:
                    yield rest


def _csv(source: Source, options: ReadOptions) -> int:
    delimiter = options.delimiter_for(source.format)
    special = (delimiter + options.quote + "\r\n").encode("ascii")
    letter = next(c for c in b"xyz" if c not in special)
    skeleton = bytes(c if c in special else letter for c in range(256))
    run = re.compile(re.escape(bytes([letter])) + b"{2,}")
    pieces = _Pieces(source, options)

    def lines() -> Iterator[str]:
        tail = b""
        for piece in pieces:
            short = run.sub(bytes([letter]), tail + piece.translate(skeleton))
            parts = short.splitlines(keepends=True)
            # a piece may end within a line, or between CR and LF
            tail = parts.pop() if parts else b""
            for part in parts:
                yield part.decode("ascii")
        if pieces.error is not None:
            if tail.endswith((b"\r", b"\n")):
                yield tail.decode("ascii")
            raise _CutShort
        if tail:
            yield tail.decode("ascii")

    count = -1
    with _csv_limit:
        former = csv.field_size_limit(sys.maxsize)
        try:
            reader = csv.reader(
                lines(),
                delimiter=delimiter,
                quotechar=options.quote or None,
                quoting=csv.QUOTE_MINIMAL if options.quote else csv.QUOTE_NONE,
                doublequote=True,
                strict=False,
            )
            for row in reader:
                count += bool(row)
        except _CutShort:
            pass
        finally:
            csv.field_size_limit(former)
    if count < 0:
        reason = pieces.error or "there is no header record"
        raise SourceError(source.path, reason, "Give the file a first line with column names.")
    return count


def _json_lines(source: Source, options: ReadOptions) -> int:
    blanks = b" \t\x0b\x0c"
    marks = bytes(c if c in b"\r\n" else ord("x") for c in range(256))
    runs = re.compile(b"x+")
    pieces = _Pieces(source, options)
    count = 0
    open_line = False
    for piece in pieces:
        bare = piece.translate(marks, blanks)
        if not bare:
            continue
        short = runs.sub(b"x", bare)
        count += short.count(b"x") - (open_line and short.startswith(b"x"))
        open_line = short.endswith(b"x")
    return count - (open_line and pieces.error is not None)


def _json(source: Source, options: ReadOptions) -> int:
    pieces = _Pieces(source, options)
    content = b"".join(pieces)
    if pieces.error is not None:
        raise SourceError(source.path, pieces.error, "Fetch the file again.")
    try:
        document = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        try:
            first = json.loads(content.lstrip().splitlines()[0].decode("utf-8"))
        except (ValueError, RecursionError, IndexError):
            first = None
        if isinstance(first, dict):
            return _json_lines(source, options)
        reason = f"not valid JSON ({error})"
        raise SourceError(source.path, reason, "Mend the file.") from error
    if isinstance(document, dict):
        values = list(document.values())
        nested = len(values) == 1 and isinstance(values[0], list) and len(values[0]) > 0
        if nested and all(isinstance(element, dict) for element in values[0]):
            return len(values[0])
        return 1
    if isinstance(document, list) and (
        not document or any(isinstance(element, dict) for element in document)
    ):
        return len(document)
    reason = "the document is not a list of objects"
    raise SourceError(source.path, reason, "Turn it into a list of objects.")


def _text_lines(source: Source, options: ReadOptions) -> int:
    pieces = _Pieces(source, options)
    count = 0
    last = b"\n"
    for piece in pieces:
        count += piece.count(b"\n") + piece.count(b"\r") - piece.count(b"\r\n")
        count -= last == b"\r" and piece.startswith(b"\n")
        last = piece[-1:]
    return count + (last not in b"\r\n" and pieces.error is None)


def _parquet(source: Source, options: ReadOptions) -> int:
    from assets.ingestion.parquet_files import open_parquet

    total = 0
    for file in source.files:
        with open_parquet(file.path, source, options) as opened:
            total += opened.metadata.num_rows
    return total


def _delta(source: Source) -> int:
    from assets.ingestion.delta_files import snapshot
    from assets.ingestion.parquet_files import open_parquet

    total = 0
    for file in snapshot(source).files:
        records = file.records
        if records is None:
            with open_parquet(file.path) as opened:
                records = opened.metadata.num_rows
        deleted = 0 if file.kept is None else int((~file.kept).sum())
        total += records - deleted
    return total
