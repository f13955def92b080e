"""Look at the first rows of every table of a lake: headers, footers and a bounded number of rows each."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from assets.ingestion.infer import TypeState, infer_types
from assets.ingestion.json_parse import JsonError, parse_json
from assets.ingestion.json_reader import document_records, load_document
from assets.ingestion.lines import Lines
from assets.ingestion.model import (
    MIB,
    POSITION_COLUMN,
    ReadOptions,
    Source,
    SourceError,
    unique_names,
)
from assets.ingestion.read import read
from assets.ingestion.transcode import open_utf8
from orchestration.draft.columns import ColumnFacts, Kind, column_facts
from orchestration.draft.model import TableFacts
from orchestration.draft.tables import is_evaluation

ROWS = 200
MOST_COLUMNS = 2_000
MOST_DOCUMENT_BYTES = 64 * MIB
MOST_CHECKED_BYTES = 64 * MIB
_HEAD_BYTES = 64 * 1024
_LONG_TEXT_BYTES = MIB
_FAULTS = (SourceError, ValueError, OSError, pa.ArrowException)


def look(
    sources: Sequence[Source], progress: Callable[[int, int], None] = lambda _done, _of: None
) -> list[TableFacts]:
    """Look at tables, one after the other; what can't be read says so in its facts.

    Notes
    -----
    At most 200 rows a table, and of each value what is needed to count words. A JSON document (one value a file) is
    held in memory to find its records; one above 64 MiB is not looked into.
    """
    found = []
    for number, source in enumerate(sources):
        found.append(_look(source))
        progress(number + 1, len(sources))
    return found


def not_numbers(source: Source, read_settings: dict[str, str], columns: Sequence[str]) -> set[str]:
    """Return which of the columns are not numbers once more than the first rows are read (up to 64 MiB of cells).

    Parquet, Delta and JSON know their types; of CSV and TSV the cells are read.
    """
    try:
        stream = read(source, ReadOptions(**read_settings))  # type: ignore[arg-type]  # pydantic checks the values
        if source.format not in ("csv", "tsv"):
            return {name for name in columns if not _is_number(stream.schema.field(name).type)}
        state, seen = TypeState(columns), 0
        for batch in stream:
            stream.take_rejects()
            state.update(batch.select(list(columns)))
            seen += batch.nbytes
            if seen > MOST_CHECKED_BYTES:
                break
    except _FAULTS:
        return set(columns)
    return {name for name, kind in state.result().items() if not _is_number(kind)}


def _look(source: Source) -> TableFacts:
    size = sum(file.bytes for file in source.files)
    try:
        settings = _settings(source)
        columns, rows = _columns(source, settings)
    except _FAULTS as error:
        told = error.reason if isinstance(error, SourceError) else f"it can't be read: {error}"
        return TableFacts(source.table, source.format, size, fault=told)
    names = [
        file.path.relative_to(source.path).as_posix() for file in source.files[1:] and source.files
    ]
    judging = tuple(name for name in names if is_evaluation(name))
    read_settings = tuple(sorted(settings.items()))
    return TableFacts(
        source.table,
        source.format,
        size,
        tuple(columns),
        rows,
        read_settings,
        (judging, len(names)),
    )


def _columns(source: Source, settings: dict[str, str]) -> tuple[list[ColumnFacts], int]:
    if source.format in ("json", "jsonl"):
        return _of_records(list(itertools.islice(_records(source), ROWS)))
    lines = {"text": "line"} if source.format == "text" else {}
    stream = read(source, ReadOptions(**{**settings, **lines}), batch_rows=ROWS)  # type: ignore[arg-type]  # pydantic checks the values
    batch = next(iter(stream), None)
    names = [name for name in stream.schema.names if name != POSITION_COLUMN][:MOST_COLUMNS]
    if batch is None:
        return [ColumnFacts(name, "empty", 0, 0, 0) for name in names], 0
    strings = source.format in ("csv", "tsv")
    types = infer_types([batch], names) if strings else {}
    found = []
    for name in names:
        kind = types.get(name, batch.schema.field(name).type)
        found.append(column_facts(name, _kind(kind), batch.column(name).to_pylist()))
    return found, batch.num_rows


def _records(source: Source) -> Iterator[dict[str, Any]]:
    options = ReadOptions()
    if source.format == "json":
        if sum(file.bytes for file in source.files) > MOST_DOCUMENT_BYTES:
            remedy = "Convert it to JSON Lines."
            raise SourceError(source.path, "a JSON document above 64 MiB", remedy)
        try:
            records = document_records(parse_json(load_document(source, options)))
        except JsonError:
            pass  # JSON Lines under another name
        else:
            if records is None:
                remedy = "Turn it into a list of objects."
                raise SourceError(source.path, "the document is not a list of objects", remedy)
            yield from (record for record in records if isinstance(record, dict))
            return
    stream = open_utf8(source, options)
    try:
        for block in Lines(stream, options.max_record_bytes, _HEAD_BYTES):
            for line in block.lines:
                try:
                    value = parse_json(line) if line.strip() else None
                except JsonError:
                    continue
                if isinstance(value, dict):
                    yield value
    finally:
        stream.close()


def _of_records(records: list[dict[str, Any]]) -> tuple[list[ColumnFacts], int]:
    keys = list(dict.fromkeys(key for record in records for key in record))[:MOST_COLUMNS]
    found = []
    for key, name in zip(keys, unique_names(keys)[0], strict=True):
        values = [record.get(key) for record in records]
        found.append(column_facts(name, _kind_of_values(values), values))
    return found, len(records)


def _kind_of_values(values: Sequence[Any]) -> Kind:
    types = {type(v) for v in values if v is not None}
    if types <= {bool}:
        return "boolean" if types else "empty"
    if types <= {int, float}:
        return "number"
    return "nested" if types & {dict, list} else "text"


def _kind(kind: pa.DataType) -> Kind:
    if _is_number(kind):
        return "number"
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_temporal(kind):
        return "time"
    if pa.types.is_nested(kind):
        return "nested"
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return "binary"
    return "text"


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def _settings(source: Source) -> dict[str, str]:
    """Find out how a file wants to be read where the defaults would not do."""
    if source.format == "text":
        long = sum(file.bytes for file in source.files) > _LONG_TEXT_BYTES
        return {"text": "line"} if long else {}
    if source.format not in ("csv", "tsv"):
        return {}
    settings: dict[str, str] = {}
    head = _head(source, {})
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:
            settings["encoding"] = "cp1252"
            head = _head(source, settings)
    lines = head.decode("utf-8", "replace").splitlines()[:20]
    usual = "\t" if source.format == "tsv" else ","
    if lines and usual not in lines[0]:
        other = max(";\t|,", key=lines[0].count)
        if other in lines[0] and all(other in line for line in lines[1:5]):
            settings["delimiter"] = other
    if _quotes_mislead(source, settings, settings.get("delimiter", usual)):
        settings["quote"] = ""
    return settings


def _quotes_mislead(source: Source, settings: dict[str, str], delimiter: str) -> bool:
    """Tell whether quotes are plain characters: with them rows break or run together, without them all is in order."""
    rejected, batch = _tried(source, settings)
    joined = batch is not None and any(
        delimiter in cell and "\n" in cell
        for column in batch.columns[:-1]
        for cell in column.to_pylist()
        if cell is not None
    )
    return (bool(rejected) or joined) and not _tried(source, {**settings, "quote": ""})[0]


def _head(source: Source, settings: dict[str, str]) -> bytes:
    stream = open_utf8(source, ReadOptions(**settings))  # type: ignore[arg-type]  # pydantic checks the values
    try:
        return stream.read(_HEAD_BYTES)[:_HEAD_BYTES]
    finally:
        stream.close()


def _tried(source: Source, settings: dict[str, str]) -> tuple[int, pa.RecordBatch | None]:
    stream = read(source, ReadOptions(**settings), batch_rows=ROWS)  # type: ignore[arg-type]  # pydantic checks the values
    batch = next(iter(stream), None)
    return len(stream.rejects), batch
