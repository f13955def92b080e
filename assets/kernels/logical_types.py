"""Name Arrow types so that physical variants of one logical type have one name."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import pyarrow as pa


def logical_type(data_type: pa.DataType) -> str:
    """Name the logical type of an Arrow type, the same for all its physical variants.

    Parameters
    ----------
    data_type : pa.DataType
        Any Arrow type.

    Returns
    -------
    str
        For example ``string`` for strings of any offset width, views and dictionaries;
        ``decimal(10,2)``; ``timestamp[us, UTC]``; ``list<int64>``.
    """
    if isinstance(data_type, pa.BaseExtensionType):
        return logical_type(data_type.storage_type)
    return _logical_type(data_type)


@lru_cache(1 << 12)
def _logical_type(data_type: pa.DataType) -> str:
    t = pa.types
    if t.is_dictionary(data_type) or t.is_run_end_encoded(data_type):
        return logical_type(data_type.value_type)
    if is_string_like(data_type):
        return "string"
    if is_binary_like(data_type):
        return "binary"
    if t.is_decimal(data_type):
        return f"decimal({data_type.precision},{data_type.scale})"
    if t.is_date(data_type):
        return "date"
    if t.is_map(data_type):
        return f"map<{logical_type(data_type.key_type)},{logical_type(data_type.item_type)}>"
    if t.is_struct(data_type):
        fields = sorted(f"{field.name}:{logical_type(field.type)}" for field in data_type)
        return f"struct<{','.join(fields)}>"
    if is_list_like(data_type):
        return f"list<{logical_type(data_type.value_type)}>"
    return str(data_type)


def type_family(data_type: pa.DataType) -> str:
    """Name the family within which the ``value`` equality can find cells of two types equal.

    Parameters
    ----------
    data_type : pa.DataType
        Any Arrow type.

    Returns
    -------
    str
        One of null, bool, number, string, binary, date, timestamp, time, duration, nested, or the
        type's own name.
    """
    if isinstance(data_type, pa.BaseExtensionType):
        return type_family(data_type.storage_type)
    return _type_family(data_type)


@lru_cache(1 << 12)
def _type_family(data_type: pa.DataType) -> str:
    t = pa.types
    if t.is_dictionary(data_type) or t.is_run_end_encoded(data_type):
        return type_family(data_type.value_type)
    tests: tuple[tuple[Callable[[pa.DataType], bool], str], ...] = (
        (t.is_null, "null"),
        (t.is_boolean, "bool"),
        (t.is_integer, "number"),
        (t.is_floating, "number"),
        (t.is_decimal, "number"),
        (is_string_like, "string"),
        (is_binary_like, "binary"),
        (t.is_date, "date"),
        (t.is_timestamp, "timestamp"),
        (t.is_time, "time"),
        (t.is_duration, "duration"),
        (t.is_nested, "nested"),
    )
    return next((family for test, family in tests if test(data_type)), str(data_type))


def is_string_like(data_type: pa.DataType) -> bool:
    """Tell whether a type holds UTF-8 text, of any physical variant."""
    t = pa.types
    return bool(
        t.is_string(data_type) or t.is_large_string(data_type) or t.is_string_view(data_type)
    )


def is_binary_like(data_type: pa.DataType) -> bool:
    """Tell whether a type holds bytes, of any physical variant."""
    t = pa.types
    return bool(
        t.is_binary(data_type)
        or t.is_large_binary(data_type)
        or t.is_binary_view(data_type)
        or t.is_fixed_size_binary(data_type)
    )


def is_list_like(data_type: pa.DataType) -> bool:
    """Tell whether a type holds lists, of any physical variant."""
    t = pa.types
    tests = ("is_list", "is_large_list", "is_fixed_size_list", "is_list_view", "is_large_list_view")
    return any(bool(getattr(t, test)(data_type)) for test in tests)
