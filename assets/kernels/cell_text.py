"""Write nested and scalar values as their one canonical text."""

from __future__ import annotations

import datetime as dt
import decimal
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from assets.kernels.logical_types import is_list_like


class UnhashableColumnError(ValueError):
    """A column is missing, or its type has no canonical bytes."""


def unhashable(data_type: pa.DataType) -> str:
    """Say that cells of a type can't be hashed."""
    return f"a column of type {data_type} can't be hashed; cast it, or leave it out"


def json_text(value: Any, data_type: pa.DataType, equality: str) -> str:  # noqa: ANN401
    """Write a nested value of a `countable` array as JSON with sorted keys.

    Leaves follow the equality; instants, dates, times and durations are written alike under each.
    """
    t = pa.types
    if value is None:
        return "null"
    if t.is_dictionary(data_type) or t.is_run_end_encoded(data_type):
        return json_text(value, data_type.value_type, equality)
    if t.is_temporal(data_type) and not t.is_interval(data_type):
        # a count of the type's unit, from `countable`
        count = value // 86_400_000 if t.is_date64(data_type) else value
        return _quote(temporal_texts(np.array([count], np.int64), data_type)[0])
    if t.is_struct(data_type):
        fields = {field.name: field.type for field in data_type}
        members = ((_quote(k), json_text(value[k], fields[k], equality)) for k in sorted(fields))
        return "{" + ",".join(f"{key}:{text}" for key, text in members) + "}"
    if t.is_map(data_type):
        key_type, item_type = data_type.key_type, data_type.item_type
        pairs = sorted(
            (json_text(key, key_type, equality), json_text(item, item_type, equality))
            for key, item in value
        )
        return "{" + ",".join(f"{key}:{text}" for key, text in pairs) + "}"
    if is_list_like(data_type):
        return "[" + ",".join(json_text(v, data_type.value_type, equality) for v in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float | decimal.Decimal) and equality == "value" and math.isfinite(value):
        exact = decimal.Decimal(repr(value)) if isinstance(value, float) else value
        if exact == exact.to_integral_value():
            return str(int(value))
        return format(exact, "f").rstrip("0")  # a fraction; normalize() would round to 28 digits
    if isinstance(value, int | float | decimal.Decimal):
        return scalar_text(value)
    return _quote(scalar_text(value))


def countable(array: pa.Array) -> pa.Array:
    """Turn instants, dates, times and durations inside a nested array into counts of their unit.

    Python has no value for nanoseconds, nor for years beyond 9999.

    Raises
    ------
    UnhashableColumnError
        If they stand in list views.
    """
    counts = _counts(array.type)
    return array if counts == array.type else array.cast(counts)


def _counts(data_type: pa.DataType) -> pa.DataType:
    t = pa.types
    if t.is_temporal(data_type) and not t.is_interval(data_type):
        return pa.int64() if data_type.bit_width == 64 else pa.int32()
    if t.is_struct(data_type):
        return pa.struct([field.with_type(_counts(field.type)) for field in data_type])
    if t.is_map(data_type):
        return pa.map_(_counts(data_type.key_type), _counts(data_type.item_type))
    if t.is_fixed_size_list(data_type):
        return pa.list_(_counts(data_type.value_type), data_type.list_size)
    if is_list_like(data_type) and _counts(data_type.value_type) != data_type.value_type:
        if not (t.is_list(data_type) or t.is_large_list(data_type)):  # Arrow 26 loses views' items
            raise UnhashableColumnError(unhashable(data_type))
        return pa.large_list(_counts(data_type.value_type))
    return data_type


def _quote(text: str) -> str:
    return orjson.dumps(text).decode()


def float_texts(numbers: npt.NDArray[np.float64]) -> list[bytes]:
    """Write numbers as `scalar_text` does, many times faster where Python writes no exponent."""
    texts = orjson.dumps(numbers, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")
    if not numbers.size:
        return []
    size = np.abs(numbers)
    for i in np.flatnonzero(~((size >= 1e-4) & (size < 1e16))).tolist():
        texts[i] = scalar_text(float(numbers[i])).encode()
    return texts


def scalar_text(value: Any) -> str:  # noqa: ANN401
    """Write a scalar as the one text that stands for it under the ``text`` equality."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float | np.floating):
        return "nan" if math.isnan(value) else str(value + type(value)(0.0))
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, dt.datetime):
        naive = value if value.tzinfo is None else value.astimezone(dt.UTC).replace(tzinfo=None)
        return naive.isoformat(sep=" ") + ("" if value.tzinfo is None else "Z")
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return str(value / dt.timedelta(seconds=1))
    return str(value)


def temporal_texts(ticks: npt.NDArray[np.int64], data_type: pa.DataType) -> list[str]:
    """Write instants, dates, times of day or durations of any range, without trailing zeros.

    Parameters
    ----------
    ticks : np.ndarray
        int64 counts of the type's own unit (days for a date).
    data_type : pa.DataType
        A date, timestamp, time or duration type.

    Returns
    -------
    list of str
        ``2024-02-29``, ``2024-02-29 12:00:00.5`` (and Z if the type has a zone), ``12:00:00.5``,
        ``90.5`` (seconds).
    """
    unit = "D" if pa.types.is_date(data_type) else data_type.unit
    if pa.types.is_duration(data_type):
        per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
        seconds = [decimal.Decimal(tick) / per_second for tick in ticks.tolist()]
        return [format(second, "f") for second in seconds]
    texts = np.datetime_as_string(ticks.view(f"datetime64[{unit}]")).tolist()
    if unit == "D":
        return [str(text) for text in texts]
    cut = (text.rstrip("0").rstrip(".") if "." in text else text for text in texts)
    if pa.types.is_time(data_type):
        return [text.split("T")[1] for text in cut]
    zone = "Z" if data_type.tz is not None else ""
    return [text.replace("T", " ") + zone for text in cut]
