"""One plain Arrow type for each logical type, whichever writer produced it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pyarrow as pa


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Return the type without its physical variant.

    large_string and string_view become string, dictionaries their value type, large, fixed-size and
    view lists become list, so that two writers of one table agree. Field names inside lists and
    nullability inside nested types are dropped for the same reason.
    """
    return kind if isinstance(kind, pa.BaseExtensionType) else _plain_type(kind)


@lru_cache(1 << 12)
def _plain_type(kind: pa.DataType) -> pa.DataType:
    types: Any = pa.types
    if types.is_dictionary(kind):
        return plain_type(kind.value_type)
    if types.is_large_string(kind) or types.is_string_view(kind):
        return pa.string()
    if types.is_large_binary(kind) or types.is_binary_view(kind):
        return pa.binary()
    if (
        types.is_list(kind)
        or types.is_large_list(kind)
        or types.is_fixed_size_list(kind)
        or types.is_list_view(kind)
        or types.is_large_list_view(kind)
    ):
        return pa.list_(plain_type(kind.value_type))
    if types.is_struct(kind):
        return pa.struct([pa.field(field.name, plain_type(field.type)) for field in kind])
    if types.is_map(kind):
        return pa.map_(plain_type(kind.key_type), plain_type(kind.item_type))
    if types.is_null(kind):
        return pa.string()
    return kind


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema in plain types, nullable, without metadata."""
    return pa.schema([pa.field(field.name, plain_type(field.type)) for field in schema])


def schema_digest(schema: pa.Schema) -> str:
    """Return 32 hex digits that are equal for equal names and plain types in any column order."""
    import xxhash

    parts = sorted(f"{field.name}\0{field.type}" for field in plain_schema(schema))
    return xxhash.xxh3_128_hexdigest("\1".join(parts).encode("utf-8", "surrogatepass"))
