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


def json_text(value: Any, data_type: pa.DataType, equality: str) -> str:  # noqa: ANN401
    """Write a nested value as JSON with sorted keys; leaves follow the equality."""
    t = pa.types
    if value is None:
        return "null"
    if t.is_dictionary(data_type) or t.is_run_end_encoded(data_type):
        return json_text(value, data_type.value_type, equality)
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


def _quote(text: str) -> str:
    return orjson.dumps(text).decode()


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
