"""Column summaries from Parquet footers and Delta logs, without reading data.

Statistics may be loose: texts cut, timestamps cut to milliseconds, rows deleted since. What is not
known to be exact is widened until it encloses, and marked `bounds_exact=False`; what cannot be
enclosed is None. Facts behind each rule: the Delta protocol's section on per-file statistics, the
Parquet format's `is_min_value_exact`, and what the writers in use were seen to do.
"""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from assets.ingestion.arrow_types import plain_schema
from assets.ingestion.delta_files import DeltaFile, DeltaSnapshot, snapshot
from assets.ingestion.model import Source
from assets.ingestion.parquet_files import footer_of, partition_values
from assets.ingestion.summaries import ColumnState, ColumnSummary, Instant, text_above, unbounded

# texts of this many bytes or more may have been cut: writers cut at 32 characters or 64 bytes
CUT_BYTES = 32
_MILLISECOND_NS = 10**6


def from_parquet_footers(source: Source) -> tuple[int, dict[str, ColumnSummary]]:
    """Return the row count and column summaries of a Parquet source from its footers.

    Bounds are exact for integers, booleans, dates, times, and timestamps; for texts shorter than 32
    bytes. Floats: footers leave NaN out, so the bounds are exact for what is not NaN. A row group
    without statistics that has rows other than nulls makes a column's bounds unknown.
    """
    rows = 0
    states: dict[str, ColumnState] = {}
    files = sorted(source.files, key=lambda file: file.relative)
    partitions, values = partition_values(files, source.path)
    for file, row in zip(files, values, strict=True):
        footer = footer_of(file.path, source)
        schema, metadata = footer.plain, footer.metadata
        rows += metadata.num_rows
        for name, state in _footer_states(metadata, schema).items():
            _merge(states, name, state)
        for field, value in zip(partitions, row, strict=True):
            if field.name not in schema.names:
                _merge(states, field.name, _constant(field.type, value, metadata.num_rows))
    return rows, {name: state.result() for name, state in states.items()}


def from_delta_log(source: Source) -> tuple[int | None, dict[str, ColumnSummary]]:
    """Return the row count and column summaries of a Delta source from its log.

    Integers, booleans, dates and partition values are exact. Texts of 32 characters or more may be
    cut: enclosing only. Timestamps are cut to milliseconds: the upper bound is widened by one. Rows
    under deletion vectors make bounds enclosing and nulls unknown. Floats are never called exact:
    NaN and infinities are left out or drop the statistic. A file without a statistic makes it
    unknown. The count is None where the log lacks it.
    """
    snap = snapshot(source)
    schema = plain_schema(snap.schema)
    states = {field.name: ColumnState(field.type) for field in schema}
    rows: int | None = 0
    by_key = {key: i for i, key in enumerate(snap.actions.column("path").to_pylist())}
    columns = {name: snap.actions.column(name).to_pylist() for name in snap.actions.column_names}
    for file in snap.files:
        deleted = 0 if file.kept is None else int((~file.kept).sum())
        live = None if file.records is None else file.records - deleted
        rows = None if rows is None or live is None else rows + live
        for field in schema:
            state = _log_state(field, file, snap, columns, by_key[file.key], live)
            states[field.name].merge(state)
    return rows, {name: state.result() for name, state in states.items()}


def _merge(states: dict[str, ColumnState], name: str, state: ColumnState) -> None:
    if name in states:
        states[name].merge(state)
    else:
        states[name] = state


def _constant(kind: pa.DataType, value: Any, rows: int | None) -> ColumnState:  # noqa: ANN401
    state = ColumnState(kind)
    if value is None:
        state.nulls = rows
    elif rows is None or rows > 0:
        state.widen(_bound(value, kind), _bound(value, kind))
    return state


def _footer_states(metadata: pq.FileMetaData, schema: pa.Schema) -> dict[str, ColumnState]:
    leaves: dict[str, int] = {}
    for i in range(metadata.num_columns):
        leaves[metadata.schema.column(i).path] = i
    states: dict[str, ColumnState] = {}
    for field in schema:
        state = states[field.name] = ColumnState(field.type)
        leaf = leaves.get(field.name)
        if leaf is None or unbounded(field.type):
            state.forget_bounds()
        for group in range(metadata.num_row_groups):
            chunk = metadata.row_group(group).column(leaf) if leaf is not None else None
            _footer_chunk(state, chunk, metadata.row_group(group).num_rows)
    return states


def _footer_chunk(state: ColumnState, chunk: Any, rows: int) -> None:  # noqa: ANN401 - pyarrow
    statistics = chunk.statistics if chunk is not None else None
    if statistics is None:
        if rows:
            state.nulls = None
            state.forget_bounds()
        return
    nulls = statistics.null_count if statistics.has_null_count else None
    state.nulls = None if state.nulls is None or nulls is None else state.nulls + nulls
    if nulls == rows or not state.known:
        return
    int96 = chunk.physical_type == "INT96"
    if not statistics.has_min_max or int96:
        state.forget_bounds()
        return
    try:
        low, high = _bound(statistics.min, state.kind), _bound(statistics.max, state.kind)
    except (OverflowError, ValueError):
        # a date beyond the years 1 to 9999, which Python lacks; a text that is not UTF-8
        state.forget_bounds()
        return
    _take(state, low, high, exact_flags=_exact_flags(statistics))


def _exact_flags(statistics: Any) -> tuple[bool | None, bool | None]:  # noqa: ANN401 - pyarrow
    return (
        getattr(statistics, "is_min_value_exact", None),
        getattr(statistics, "is_max_value_exact", None),
    )


def _take(
    state: ColumnState,
    low: Any,  # noqa: ANN401 - a value of any ordered type
    high: Any,  # noqa: ANN401
    exact_flags: tuple[bool | None, bool | None],
) -> None:
    """Widen a state by a chunk's bounds, loosened where they may have been cut."""
    if low is None or high is None or type(low) is not type(high):
        state.forget_bounds()
        return
    if isinstance(low, float) and (math.isnan(low) or math.isnan(high)):
        state.forget_bounds()
        return
    if isinstance(low, str):
        cut_low = exact_flags[0] is False or (exact_flags[0] is None and _may_be_cut(low))
        cut_high = exact_flags[1] is False or (exact_flags[1] is None and _may_be_cut(high))
        if cut_high:
            # whether the writer raised the last character or not, this one is above
            high = text_above(high)
        if cut_low or cut_high:
            state.exact = False
        if high is None:
            state.forget_bounds()
            return
    state.widen(low, high)


def _may_be_cut(text: str) -> bool:
    return len(text.encode("utf-8", "surrogatepass")) >= CUT_BYTES


def _log_state(
    field: pa.Field,
    file: DeltaFile,
    snap: DeltaSnapshot,
    columns: dict[str, list[Any]],
    row: int,
    live: int | None,
) -> ColumnState:
    if field.name in snap.partition_columns:
        value = file.partition[snap.partition_columns.index(field.name)]
        if isinstance(value, str) and not pa.types.is_string(field.type):
            value = pa.scalar(value).cast(field.type).as_py()
        return _constant(field.type, value, live)
    state = ColumnState(field.type)
    if live == 0:
        return state
    deleted = file.kept is not None or file.wide
    nulls = columns.get(f"null_count.{field.name}", [None] * (row + 1))[row]
    state.nulls = nulls if not deleted else None
    if unbounded(field.type):
        state.forget_bounds()
        return state
    if nulls is not None and nulls == file.records:
        state.nulls = live
        return state
    low, high = (
        _bound(columns.get(f"{end}.{field.name}", [None] * (row + 1))[row], field.type)
        for end in ("min", "max")
    )
    _take(state, low, high, exact_flags=(None, None))
    if isinstance(high, Instant) and state.known:
        state.high = Instant(state.high.nanoseconds + _MILLISECOND_NS, state.high.zoned)
        state.exact = False
    if deleted or pa.types.is_floating(field.type):
        state.exact = False
    return state


def _bound(value: Any, kind: pa.DataType) -> Any:  # noqa: ANN401 - any ordered type
    """Bring a statistic to the Python type that values of its column have; None if it can't be."""
    if value is None:
        return None
    if pa.types.is_timestamp(kind):
        if isinstance(value, int):
            return Instant.of(value, kind)
        if not isinstance(value, dt.datetime):
            return None
        zoned = kind.tz is not None
        moment = value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)
        whole = moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
        microseconds = (whole.days * 86_400 + whole.seconds) * 10**6 + whole.microseconds
        nanoseconds = getattr(value, "nanosecond", 0)
        return Instant(microseconds * 1000 + nanoseconds, zoned)
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return None
    if pa.types.is_floating(kind):
        return float(value)
    return value
