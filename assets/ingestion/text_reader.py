"""Plain text: one record a file, or one a line."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from assets.ingestion.lines import Lines
from assets.ingestion.model import MIB, ReadOptions, RowStream, Source, with_position
from assets.ingestion.transcode import open_utf8

SCHEMA = with_position(pa.schema([("text", pa.string())]))
_BATCH_BYTES = 16 * MIB


def read_text(source: Source, options: ReadOptions, *, batch_rows: int = 8192) -> RowStream:
    """Stream a text file as the column `text`.

    With `text="line"` every line is a record, empty ones too; LF, CR LF and CR end a line, and the
    last needs no end. With `text="file"` the whole file is record 0, its line ends untouched.
    Records with invalid UTF-8, or longer than `max_record_bytes`, are rejected; so is a whole-file
    record whose archive ends early.

    Notes
    -----
    Memory: one record (at most `max_record_bytes`) or a few blocks of lines.
    """
    stream = open_utf8(source, options)

    def batches(rows: RowStream) -> Iterator[pa.RecordBatch]:
        try:
            if options.text == "line":
                lines = Lines(stream, options.max_record_bytes)
                yield from _line_batches(lines, rows, options, batch_rows)
                if stream.error is not None:
                    rows.stop(stream.error, lines.tail)
                return
            parts: list[bytes] = []
            size = 0
            while size <= options.max_record_bytes and (piece := stream.read(MIB)):
                parts.append(piece)
                size += len(piece)
            content = b"".join(parts)
            if stream.error is not None:
                rows.error = stream.error
                rows.reject(0, f"{stream.error}; a text file is one record", content)
                return
            yield from _batch([(0, content)], rows, options, set())
        finally:
            stream.close()

    return RowStream(SCHEMA, batches)


def _line_batches(
    lines: Lines, rows: RowStream, options: ReadOptions, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    position = 0
    for block in lines:
        too_long = {position + i for i in block.too_long}
        pending: list[tuple[int, bytes]] = []
        size = 0
        for line in block.lines:
            pending.append((position, line))
            size += len(line)
            position += 1
            if len(pending) >= batch_rows or size >= _BATCH_BYTES:
                yield from _batch(pending, rows, options, too_long)
                pending, size = [], 0
        yield from _batch(pending, rows, options, too_long)


def _batch(
    records: list[tuple[int, bytes]], rows: RowStream, options: ReadOptions, too_long: set[int]
) -> Iterator[pa.RecordBatch]:
    texts: list[str] = []
    positions: list[int] = []
    for position, raw in records:
        if position in too_long or len(raw) > options.max_record_bytes:
            reason = f"record is longer than max_record_bytes ({options.max_record_bytes})"
            rows.reject(position, reason, raw)
            continue
        try:
            texts.append(raw.decode("utf-8"))
        except UnicodeDecodeError as error:
            rows.reject(position, f"invalid UTF-8 at byte {error.start} of the record", raw)
            continue
        positions.append(position)
    if positions:
        yield pa.record_batch(
            [pa.array(texts, pa.string()), pa.array(positions, pa.int64())], schema=SCHEMA
        )
