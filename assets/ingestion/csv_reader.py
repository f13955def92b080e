"""CSV and TSV, landed without loss: every column a string, cells as written.

Arrow's parser takes the blocks whose quotes are all in place and whose bytes are valid UTF-8; the
careful parser (`csv_cells`) takes the rest. Both give the same rows, rejects and reasons.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from assets.ingestion.csv_arrow import (
    fitted,
    parse_block,
    refitted_block,
    with_refitted_rows,
)
from assets.ingestion.csv_blocks import find_cut
from assets.ingestion.csv_cells import Cell, CellParser, RecordSkipper
from assets.ingestion.model import (
    MIB,
    POSITION_COLUMN,
    ReadOptions,
    RowStream,
    Source,
    SourceError,
    excerpt,
    unique_names,
    with_position,
)
from assets.ingestion.transcode import Utf8Stream, open_utf8

BLOCK_BYTES = 4 * MIB
NEVER_CLOSES = "a quote opens in this record and never closes; the rest of the file is set aside"


def read_csv(
    source: Source,
    options: ReadOptions,
    *,
    batch_rows: int = 8192,
    block_bytes: int = BLOCK_BYTES,
    careful: bool = False,
    as_text: bool = False,
) -> RowStream:
    """Stream a CSV or TSV file as strings.

    Parameters
    ----------
    source
        A source of format csv or tsv.
    options
        `delimiter`, `quote`, `encoding` and `max_record_bytes` apply.
    batch_rows
        Most rows a batch.
    block_bytes
        Bytes parsed at a time; the result does not depend on it.
    careful
        Use the careful parser throughout (the slow twin that tests compare with).
    as_text
        Keep rows of any width, for comparing cells as text: cells beyond the header's are dropped,
        missing ones are null, and invalid UTF-8 is replaced by U+FFFD.

    Returns
    -------
    RowStream
        Rows with too few or too many cells, with invalid UTF-8, too long, or with a quote that
        never closes become rejects with their position. Blank lines are no records.

    Raises
    ------
    SourceError
        If there is no header record, or it cannot be read.

    Notes
    -----
    Memory: a few blocks, or a few times the longest record (at most `max_record_bytes`).
    """
    delimiter = options.delimiter_for(source.format)
    stream = open_utf8(source, options, replace=as_text)
    state = _State(stream, delimiter, options, block_bytes, as_text=as_text)
    names, notes = unique_names(_header(source, state))
    schema = with_position(pa.schema([(name, pa.string()) for name in names]))

    def batches(rows: RowStream) -> Iterator[pa.RecordBatch]:
        try:
            yield from _batches(state, rows, names, batch_rows, careful=careful)
        finally:
            stream.close()
        if state.refitted:
            told = "cells beyond the header's were dropped, missing ones are null"
            rows.notes.append(f"{state.refitted} rows of another width than the header: {told}")

    return RowStream(schema, batches, notes)


@dataclass(slots=True)
class _State:
    stream: Utf8Stream
    delimiter: str
    options: ReadOptions
    block_bytes: int
    buffer: bytes = b""
    final: bool = False
    as_text: bool = False
    refitted: int = 0
    parser: CellParser = field(init=False)

    def __post_init__(self) -> None:
        self.parser = CellParser(self.delimiter, self.options.quote)

    def more(self) -> None:
        """Read on; the buffer at least doubles, so rescans of a long record stay linear."""
        piece = self.stream.read(max(self.block_bytes, len(self.buffer)))
        self.final = not piece
        self.buffer += piece

    @property
    def cut_short(self) -> bool:
        return self.final and self.stream.error is not None


def _header(source: Source, state: _State) -> list[str]:
    path = source.path
    limit = state.options.max_record_bytes
    record, too_long = None, False
    while not (record or too_long or state.final):
        state.more()
        state.buffer = state.buffer.lstrip(b"\r\n")
        record = next(state.parser.records(state.buffer, final=state.final), None)
        # without a whole record in it, the buffer may hold two bytes that are not the record's
        too_long = len(record.raw) > limit if record else len(state.buffer) > limit + 2
    if too_long:
        reason = f"the header is longer than max_record_bytes ({limit})"
        raise SourceError(path, reason, "Check the delimiter and quote settings.")
    if record is None:
        reason = state.stream.error or "there is no header record"
        raise SourceError(path, reason, "Give the file a first line with column names.")
    if record.cells is None:
        reason = "a quote opens in the header and never closes"
        raise SourceError(path, reason, 'Mend the file, or set quote: "" if it has no quoting.')
    if state.cut_short and record.end == len(state.buffer) and state.buffer[-1:] not in b"\r\n":
        reason = f"{state.stream.error}, within the header"
        raise SourceError(path, reason, "Fetch the file again.")
    try:
        names = [(cell or b"").decode("utf-8") for cell in record.cells]
    except UnicodeDecodeError as error:
        reason = f"the header is not valid UTF-8 (byte {error.start})"
        raise SourceError(path, reason, "Set encoding, for instance cp1252.") from error
    state.buffer = state.buffer[record.end :]
    return names


def _batches(
    state: _State, rows: RowStream, names: list[str], batch_rows: int, *, careful: bool
) -> Iterator[pa.RecordBatch]:
    position = 0
    limit = state.options.max_record_bytes
    dirty_records = 64
    while state.buffer or not state.final:
        # blank lines are no records; without them a buffer starts where a record does
        state.buffer = state.buffer.lstrip(b"\r\n")
        before = len(state.buffer)
        cut, dirty = find_cut(state.buffer, state.delimiter, state.options.quote, final=state.final)
        if state.cut_short and cut == len(state.buffer) and state.buffer[-1:] not in b"\r\n":
            # the last record has no end, and the file has none: it is not whole
            cut, dirty = find_cut(state.buffer, state.delimiter, state.options.quote, final=False)
        if careful or 0 < limit < cut:
            cut, dirty = 0, True
        if cut:
            block, state.buffer = state.buffer[:cut], state.buffer[cut:]
            parsed = _fast_block(state, block, names, position, rows)
            if parsed is None:
                table, position, _ = _careful_block(state, block, names, position, rows)
            else:
                table, position = parsed
            yield from _slices(table, rows.schema, batch_rows)
        if dirty and state.buffer:
            most = None if careful else dirty_records
            table, position, used = _careful_block(
                state, state.buffer, names, position, rows, most=most, final=state.final
            )
            state.buffer = state.buffer[used:]
            dirty_records = min(2 * dirty_records, 1 << 16)
            yield from _slices(table, rows.schema, batch_rows)
        elif not dirty:
            dirty_records = 64
        progress = len(state.buffer) < before
        if progress and state.buffer:
            continue
        if state.final:
            break
        if not progress and before > limit + 2:
            position = _skip(state, rows, position)
        else:
            state.more()
    if state.cut_short:
        rows.stop(str(state.stream.error), state.buffer)


def _skip(state: _State, rows: RowStream, position: int) -> int:
    """Pass over the record at the start of the buffer, which is longer than allowed."""
    start = excerpt(state.buffer[:8000])
    skipper = RecordSkipper(state.delimiter, state.options.quote)
    while True:
        end = skipper.feed(state.buffer)
        if end is not None:
            state.buffer = state.buffer[end:]
            break
        state.buffer = state.stream.read(state.block_bytes)
        if not state.buffer:
            state.final = True
            if state.cut_short:
                return position
            break
    reason = NEVER_CLOSES if skipper.in_quotes else _too_long(skipper.bytes, state.options)
    rows.reject(position, reason, start)
    return position + 1


def _too_long(size: int, options: ReadOptions) -> str:
    return f"record of {size} bytes is longer than max_record_bytes ({options.max_record_bytes})"


def _ragged(cells: int, columns: int) -> str:
    return f"row has {cells} cells, the header has {columns}"


def _fast_block(
    state: _State, block: bytes, names: list[str], position: int, rows: RowStream
) -> tuple[pa.Table, int] | None:
    """Parse whole, well-quoted records with Arrow; None if the careful parser must do it."""
    try:
        pa.array([block], pa.large_binary()).cast(pa.large_string())
    except pa.ArrowInvalid:
        return None
    if block[-1:] not in b"\r\n":
        # Arrow takes an empty last cell for quoted if the one before it was and no line end follows
        block += b"\n"
    ragged: list[tuple[int, int, str]] = []

    def set_aside(row: Any) -> str:  # noqa: ANN401 - pyarrow's InvalidRow
        ragged.append((row.number - 1, row.actual_columns, row.text))
        return "skip"

    try:
        table = parse_block(block, names, state.delimiter, state.options.quote, set_aside)
        if state.as_text and ragged:
            widths = {cells for _, cells, _ in ragged}
            if table.num_rows or len(widths) > 1:
                table = with_refitted_rows(table, ragged, names, state.parser)
            else:
                quote = state.options.quote
                table = refitted_block(block, names, widths.pop(), state.delimiter, quote)
            if table is None:
                return None
            state.refitted += len(ragged)
            ragged.clear()
    except pa.ArrowInvalid:
        return None
    for row, cells, text in ragged:
        rows.reject(position + row, _ragged(cells, len(names)), text)
    total = table.num_rows + len(ragged)
    positions = _positions(position, total, [row for row, _, _ in ragged])
    return table.append_column(POSITION_COLUMN, positions), position + total


def _positions(start: int, total: int, without: list[int]) -> pa.Array:
    import numpy as np

    positions = np.arange(start, start + total, dtype=np.int64)
    return pa.array(np.delete(positions, without) if without else positions)


def _careful_block(
    state: _State,
    block: bytes,
    names: list[str],
    position: int,
    rows: RowStream,
    *,
    most: int | None = None,
    final: bool = True,
) -> tuple[pa.Table, int, int]:
    """Parse record by record; returns the rows, the next position and the bytes used."""
    width = len(names)
    limit = state.options.max_record_bytes
    columns: list[list[Cell]] = [[] for _ in names]
    positions: list[int] = []
    used = 0
    # without an end to the file, its last record is not known to be whole
    at_end = final and not state.cut_short
    closing = state.cut_short and block[-1:] in (b"\r", b"\n")
    for record in state.parser.records(block, final=at_end or closing):
        if closing and record.end == len(block) and record.cells is None:
            break
        used = record.end
        reason = _fault(
            record.raw, record.cells, None if state.as_text else width, limit, state.options
        )
        if reason is not None:
            rows.reject(position, reason, record.raw)
        else:
            positions.append(position)
            cells = record.cells or []
            if len(cells) != width:
                state.refitted += 1
                cells = fitted(cells, width)
            for column, cell in zip(columns, cells, strict=True):
                column.append(cell)
        position += 1
        if most is not None and len(positions) >= most:
            break
    arrays = [pa.array(column, pa.binary()).cast(pa.string()) for column in columns]
    table = pa.table([*arrays, pa.array(positions, pa.int64())], names=[*names, POSITION_COLUMN])
    return table, position, used


def _fault(
    raw: bytes, cells: list[Cell] | None, width: int | None, limit: int, options: ReadOptions
) -> str | None:
    if cells is None:
        return NEVER_CLOSES
    if len(raw) > limit:
        return _too_long(len(raw), options)
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"invalid UTF-8 at byte {error.start} of the record"
    if width is not None and len(cells) != width:
        return _ragged(len(cells), width)
    return None


def _slices(table: pa.Table, schema: pa.Schema, batch_rows: int) -> Iterator[pa.RecordBatch]:
    if table.num_rows:
        combined = pa.table(table.columns, schema=schema).combine_chunks()
        yield from combined.to_batches(max_chunksize=batch_rows)
