"""Column mapping of Delta tables: the names that a table shows beside those that its files store.

Renaming or dropping a column of such a table changes its log alone: fields have a fixed physical name and
a fixed id, by which data files (mode `name` or `id`) and statistics (always the physical name) refer
to them. Source: the Delta protocol, section "Column Mapping".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

MODE = "delta.columnMapping.mode"
_NAME, _ID = "delta.columnMapping.physicalName", "delta.columnMapping.id"
_FIELD_ID = b"PARQUET:field_id"
_STATISTICS = ("min", "max", "null_count")

Field = Mapping[str, Any]
"""A field of a Delta schema, as its JSON has it."""


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """How the fields of a table are stored.

    Attributes
    ----------
    by_id
        Whether data files are matched by field id instead of by physical name.
    fields
        The top-level fields of the table's schema, in its order.
    """

    by_id: bool
    fields: tuple[Field, ...]

    @property
    def digest(self) -> str:
        """32 hex digits that differ where a name would be read from another stored column."""
        told = json.dumps([self.by_id, self.fields], sort_keys=True)
        return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()

    def logical_paths(self) -> dict[str, str]:
        """Return the table's own dotted path of each field, by the dotted path of physical names."""
        return dict(_paths(self.fields, "", ""))

    def statistics(self, actions: pa.Table) -> pa.Table:
        """Rename the statistics of a log's files (``min.X``, ``max.X``, ``null_count.X``).

        Those of columns that the table has no longer are left out. Partition values have the
        table's own names already.
        """
        own = self.logical_paths()
        names: dict[str, str] = {}
        for column in actions.column_names:
            kind, _, path = column.partition(".")
            if kind not in _STATISTICS or not path:
                names[column] = column
            elif path in own:
                names[column] = f"{kind}.{own[path]}"
        return actions.select(list(names)).rename_columns(list(names.values()))

    def placed(self, file: pa.Schema, columns: Sequence[str]) -> list[int | None]:
        """Return where a data file has each of the table's columns; None where it has it not."""
        by_name = {field["name"]: field for field in self.fields}
        return [_find(by_name[name], file, by_id=self.by_id) for name in columns]

    def shown(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Give a data file's batch the table's names, inside structs, lists and maps too. Copies nothing."""
        renamed = _renamed(list(batch.schema), self.fields, by_id=self.by_id)
        columns = [
            column if column.type == field.type else pa.array(_Retyped(column, field.type))
            for column, field in zip(batch.columns, renamed, strict=True)
        ]
        return pa.record_batch(columns, schema=pa.schema(renamed))

    def physical(self, columns: Sequence[str]) -> list[str]:
        """Return the names that files and partition values have for some of the table's columns."""
        by_name = {field["name"]: str(field["metadata"][_NAME]) for field in self.fields}
        return [by_name[name] for name in columns]

    def stored(self, rows: pa.Table) -> pa.Table:
        """Give some of the table's columns the names and ids that files store; undoes `shown`. Copies nothing."""
        stored = pa.schema(_stored(list(rows.schema), self.fields))
        columns = [
            pa.chunked_array(
                [pa.array(_Retyped(chunk, field.type)) for chunk in column.chunks], field.type
            )
            for column, field in zip(rows.columns, stored, strict=True)
        ]
        return pa.Table.from_arrays(columns, schema=stored)


def column_mapping(schema: str, configuration: Mapping[str, str]) -> ColumnMapping | None:
    """Read the column mapping of a table's metadata.

    Parameters
    ----------
    schema
        JSON of the table's schema.
    configuration
        Its table properties.

    Returns
    -------
    ColumnMapping or None
        None if the table has none.

    Raises
    ------
    ValueError
        If the mode is unknown, or a field lacks the physical name or the id that the mode asks for.
    """
    mode = configuration.get(MODE, "none")
    if mode == "none":
        return None
    if mode not in ("name", "id"):
        message = f"unknown column mapping mode {mode!r}; known are name and id"
        raise ValueError(message)
    fields = tuple(json.loads(schema)["fields"])
    for path, field in _all_fields(fields, ""):
        for key in (_NAME, _ID) if mode == "id" else (_NAME,):
            if key not in field.get("metadata", {}):
                message = f"column {path!r} has no {key} although the table uses column mapping"
                raise ValueError(message)
    return ColumnMapping(mode == "id", fields)


@dataclass(frozen=True, slots=True)
class _Retyped:
    """An array under a type of the same layout, by way of Arrow's C data interface."""

    array: pa.Array
    kind: pa.DataType

    def __arrow_c_array__(self, requested: object = None) -> tuple[Any, Any]:
        del requested
        _, content = self.array.__arrow_c_array__()
        return self.kind.__arrow_c_schema__(), content


def _paths(fields: Sequence[Field], stored: str, own: str) -> Iterator[tuple[str, str]]:
    for field in fields:
        there, here = f"{stored}{field['metadata'][_NAME]}", f"{own}{field['name']}"
        yield there, here
        kind = field["type"]
        if isinstance(kind, dict) and kind["type"] == "struct":
            yield from _paths(kind["fields"], f"{there}.", f"{here}.")


def _all_fields(fields: Sequence[Field], prefix: str) -> Iterator[tuple[str, Field]]:
    for field in fields:
        path = f"{prefix}{field['name']}"
        yield path, field
        for kind in _structs(field["type"]):
            yield from _all_fields(kind["fields"], f"{path}.")


def _structs(kind: Any) -> Iterator[Mapping[str, Any]]:  # noqa: ANN401 - a name, or an object
    if isinstance(kind, str):
        return
    if kind["type"] == "struct":
        yield kind
    for part in ("elementType", "keyType", "valueType"):
        if part in kind:
            yield from _structs(kind[part])


def _find(field: Field, file: pa.Schema | Sequence[pa.Field], *, by_id: bool) -> int | None:
    return next((i for i, other in enumerate(file) if _same(field, other, by_id=by_id)), None)


def _same(field: Field, stored: pa.Field, *, by_id: bool) -> bool:
    metadata = field["metadata"]
    if not by_id:
        return bool(stored.name == metadata[_NAME])
    told = (stored.metadata or {}).get(_FIELD_ID)
    return told is not None and int(told) == metadata[_ID]


def _renamed(stored: Sequence[pa.Field], fields: Sequence[Field], *, by_id: bool) -> list[pa.Field]:
    found = []
    for field in stored:
        own = next((f for f in fields if _same(f, field, by_id=by_id)), None)
        if own is None:
            # dropped from the table: no name of it may meet one of the table's
            found.append(pa.field(f"\0{field.name}", field.type))
        else:
            found.append(pa.field(own["name"], _retyped(field.type, own["type"], by_id=by_id)))
    return found


def _retyped(stored: pa.DataType, own: Any, *, by_id: bool) -> pa.DataType:  # noqa: ANN401
    if not isinstance(own, dict):
        return stored
    if own["type"] == "struct" and pa.types.is_struct(stored):
        return pa.struct(_renamed(list(stored), own["fields"], by_id=by_id))
    if own["type"] == "array" and pa.types.is_list(stored):
        element = _retyped(stored.value_type, own["elementType"], by_id=by_id)
        return pa.list_(stored.value_field.with_type(element))
    if own["type"] == "map" and pa.types.is_map(stored):
        key = _retyped(stored.key_type, own["keyType"], by_id=by_id)
        return pa.map_(key, _retyped(stored.item_type, own["valueType"], by_id=by_id))
    return stored


def _stored(own: Sequence[pa.Field], fields: Sequence[Field]) -> list[pa.Field]:
    by_name = {field["name"]: field for field in fields}
    found = []
    for shown in own:
        field = by_name[shown.name]
        told = field["metadata"]
        kind = _stored_type(shown.type, field["type"])
        ids = {_FIELD_ID: str(told[_ID]).encode()} if _ID in told else None
        found.append(pa.field(told[_NAME], kind, shown.nullable, ids))
    return found


def _stored_type(shown: pa.DataType, own: Any) -> pa.DataType:  # noqa: ANN401 - a name, or an object
    if not isinstance(own, dict):
        return shown
    if own["type"] == "struct":
        return pa.struct(_stored(list(shown), own["fields"]))
    if own["type"] == "array":
        element = _stored_type(shown.value_type, own["elementType"])
        return pa.list_(shown.value_field.with_type(element))
    key = _stored_type(shown.key_type, own["keyType"])
    item = _stored_type(shown.item_type, own["valueType"])
    return pa.map_(shown.key_field.with_type(key), shown.item_field.with_type(item))
