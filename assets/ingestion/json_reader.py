"""JSON Lines, and JSON documents that are a list of objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from assets.ingestion.json_parse import JsonError, json_text, parse_json, repeated_key
from assets.ingestion.json_types import TypeNode
from assets.ingestion.lines import Lines
from assets.ingestion.model import (
    MIB,
    ReadOptions,
    RowStream,
    Source,
    SourceError,
    unique_names,
    with_position,
)
from assets.ingestion.transcode import open_utf8

MAX_COLUMNS = 10_000
_BATCH_BYTES = 16 * MIB

# position, raw bytes, and the object, or the reason why there is none
Item = tuple[int, bytes, dict[str, Any] | None, str]


def read_jsonl(
    source: Source, options: ReadOptions, *, batch_rows: int = 8192, as_text: bool = False
) -> RowStream:
    """Stream JSON Lines: one object a line that is not blank.

    Two passes over the file: types, then rows. Lines that are no valid JSON or no object are
    rejected. A key that is missing, or null, is null. With `as_text` every column holds strings:
    what is no string in the file is its JSON text.

    Raises
    ------
    SourceError
        On more than 10,000 distinct keys.

    Notes
    -----
    Memory: a few blocks, or a few times the longest line.
    """

    def items(rows: RowStream | None) -> Iterator[Item]:
        stream = open_utf8(source, options)
        try:
            lines = Lines(stream, options.max_record_bytes)
            yield from _line_items(lines, options)
            if rows is not None and stream.error is not None:
                rows.stop(stream.error, lines.tail)
        finally:
            stream.close()

    return _typed_stream(source, items, batch_rows, as_text=as_text)


def read_json(
    source: Source, options: ReadOptions, *, batch_rows: int = 8192, as_text: bool = False
) -> RowStream:
    """Read a JSON document: a list of objects, one object, or an object of a single such list.

    Elements of the list that are no objects are rejected. A file of one object a line, whatever its
    name says, is read as JSON Lines. The document is held in memory, up to `max_record_bytes`.

    Raises
    ------
    SourceError
        If the document is too large, is no JSON, or holds no records.
    """
    content = load_document(source, options)
    try:
        document = parse_json(content)
    except JsonError as error:
        if _is_json_lines(content):
            stream = read_jsonl(source, options, batch_rows=batch_rows, as_text=as_text)
            stream.notes.append("one object a line: read as JSON Lines")
            return stream
        remedy = "Mend the file, or set encoding if it is not UTF-8."
        raise SourceError(source.path, str(error), remedy) from error
    elements = document_records(document)
    if elements is None:
        reason = "the document is not a list of objects"
        remedy = "Turn it into a list of objects, or set the table to ignore."
        raise SourceError(source.path, reason, remedy)

    def items(_: RowStream | None) -> Iterator[Item]:
        for position, element in enumerate(elements):
            if isinstance(element, dict):
                yield position, b"", element, ""
            else:
                raw = json_text(element).encode("utf-8", "backslashreplace")
                yield position, raw, None, f"a {_kind(element)}, not an object"

    stream = _typed_stream(source, items, batch_rows, as_text=as_text)
    again = repeated_key(content, document)
    if again is not None:
        stream.notes.append(f"key {again!r} stands twice in an object: its last value is kept")
    return stream


def load_document(source: Source, options: ReadOptions) -> bytes:
    """Return the whole file as UTF-8 bytes; raise `SourceError` if it is too large or cut short."""
    stream = open_utf8(source, options)
    try:
        parts: list[bytes] = []
        size = 0
        while piece := stream.read(MIB):
            parts.append(piece)
            size += len(piece)
            if size > options.max_record_bytes:
                reason = f"a JSON document of more than {options.max_record_bytes} bytes"
                remedy = "Convert it to JSON Lines, or raise max_record_bytes."
                raise SourceError(source.path, reason, remedy)
    finally:
        stream.close()
    if stream.error is not None:
        raise SourceError(source.path, stream.error, "Fetch the file again.")
    return b"".join(parts)


def document_records(document: Any) -> list[Any] | None:  # noqa: ANN401 - a JSON value
    """Return the list of records that a parsed document stands for, or None.

    An object whose only value is a list that holds nothing but objects, at least one, stands for
    that list; any other object is one record. A list without any object is no table unless it is
    empty.
    """
    if isinstance(document, dict):
        values = list(document.values())
        if len(values) == 1 and isinstance(values[0], list) and values[0]:
            inner: list[Any] = values[0]
            if all(isinstance(element, dict) for element in inner):
                return inner
        return [document]
    if isinstance(document, list):
        if document and not any(isinstance(element, dict) for element in document):
            return None
        return document
    return None


def _is_json_lines(content: bytes) -> bool:
    first = next((line for line in content.splitlines() if line.strip()), b"")
    try:
        return isinstance(parse_json(first), dict)
    except JsonError:
        return False


def _kind(value: Any) -> str:  # noqa: ANN401
    names = {list: "list", str: "string", bool: "boolean", int: "number", float: "number"}
    return names.get(type(value), "null")


def _line_items(lines: Lines, options: ReadOptions) -> Iterator[Item]:
    position = 0
    for block in lines:
        for i, line in enumerate(block.lines):
            if not line.strip():
                continue
            if i in block.too_long:
                reason = f"record is longer than max_record_bytes ({options.max_record_bytes})"
                yield position, line, None, reason
            else:
                try:
                    value = parse_json(line)
                except JsonError as error:
                    yield position, line, None, str(error)
                else:
                    if isinstance(value, dict):
                        yield position, line, value, ""
                    else:
                        yield position, line, None, f"a {_kind(value)}, not an object"
            position += 1


@dataclass
class _Repeated:
    """Count the records in which a key stands twice."""

    records: int = 0
    first: str = ""

    def look(self, position: int, raw: bytes, record: dict[str, Any] | None) -> None:
        """Look at one line and what it was parsed to."""
        key = repeated_key(raw, record) if record is not None and raw else None
        if key is not None:
            self.records += 1
            self.first = self.first or f"key {key!r} of the record at position {position}"

    def notes(self) -> list[str]:
        """Say what was found."""
        if not self.records:
            return []
        many = "1 record repeats" if self.records == 1 else f"{self.records:,} records repeat"
        return [f"{many} a key, whose last value is kept: {self.first} first"]


def _typed_stream(
    source: Source,
    items: Callable[[RowStream | None], Iterator[Item]],
    batch_rows: int,
    *,
    as_text: bool,
) -> RowStream:
    nodes: dict[str, TypeNode] = {}
    repeated = _Repeated()
    for position, raw, record, _ in items(None):
        repeated.look(position, raw, record)
        for key, value in (record or {}).items():
            node = nodes.get(key)
            if node is None:
                node = nodes[key] = TypeNode()
                if len(nodes) > MAX_COLUMNS:
                    reason = f"more than {MAX_COLUMNS} distinct keys"
                    remedy = "Move varying keys into one field of key and value pairs."
                    raise SourceError(source.path, reason, remedy)
            node.observe(value)
    types = {key: node.result() for key, node in nodes.items()}
    names, notes = unique_names(list(types))
    if as_text:
        types = {key: kind if kind == pa.string() else None for key, kind in types.items()}
    notes += [
        f"column {name!r}: kept as JSON text, as its values are of several kinds"
        for name, kind in zip(names, types.values(), strict=True)
        if kind is None and not as_text
    ]
    notes += repeated.notes()
    schema = with_position(
        pa.schema([(n, t or pa.string()) for n, t in zip(names, types.values(), strict=True)])
    )

    def batches(rows: RowStream) -> Iterator[pa.RecordBatch]:
        text_of = _plain_text if as_text else json_text
        records: list[dict[str, Any]] = []
        positions: list[int] = []
        size = 0
        for position, raw, record, reason in items(rows):
            if record is None:
                rows.reject(position, reason, raw)
                continue
            records.append(record)
            positions.append(position)
            size += len(raw)
            if len(records) >= batch_rows or size >= _BATCH_BYTES:
                yield _record_batch(source, records, positions, types, schema, text_of)
                records, positions, size = [], [], 0
        if records:
            yield _record_batch(source, records, positions, types, schema, text_of)

    return RowStream(schema, batches, notes)


def _plain_text(value: Any) -> str:  # noqa: ANN401 - a JSON value
    return value if isinstance(value, str) else json_text(value)


def _record_batch(
    source: Source,
    records: list[dict[str, Any]],
    positions: list[int],
    types: dict[str, pa.DataType | None],
    schema: pa.Schema,
    text_of: Callable[[Any], str],
) -> pa.RecordBatch:
    arrays: list[pa.Array] = []
    try:
        for key, kind in types.items():
            values = [record.get(key) for record in records]
            if kind is None:
                texts = [None if value is None else text_of(value) for value in values]
                arrays.append(pa.array(texts, pa.string()))
            else:
                arrays.append(pa.array(values, kind))
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        reason = f"a value does not fit the type found before ({error}); the file has changed"
        raise SourceError(source.path, reason, "Read it again once it is at rest.") from error
    return pa.record_batch([*arrays, pa.array(positions, pa.int64())], schema=schema)
