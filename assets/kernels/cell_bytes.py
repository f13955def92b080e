"""Turn Arrow cells into tagged canonical bytes; `cell_hash` states the equalities."""

from __future__ import annotations

import decimal
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from assets.kernels.cell_text import (
    UnhashableColumnError,
    countable,
    float_texts,
    json_text,
    scalar_text,
    temporal_texts,
    unhashable,
)
from assets.kernels.logical_types import (
    is_binary_like,
    is_string_like,
    logical_type,
    type_family,
)

Equality = Literal["typed", "value", "text"]
Words = npt.NDArray[np.uint64]
Positions = npt.NDArray[np.int64]
Slices = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]


class Segment(NamedTuple):
    """Cells of one tag: 8-byte words, or slices of bytes, or (both None) cells without content."""

    tag: str
    at: Positions | None  # positions in the chunk; None is all of them
    words: Words | None = None
    slices: Slices | None = None


def _slices(array: pa.Array) -> Slices:
    """Give the bytes and offsets of a string or binary array without copying the bytes."""
    wide = array.type in (pa.large_string(), pa.large_binary())
    if not wide and array.type not in (pa.string(), pa.binary()):
        binary = pa.large_binary() if is_binary_like(array.type) else pa.large_string()
        array, wide = array.cast(binary), True
    _, offset_buffer, data_buffer = array.buffers()
    if len(array) == 0 or offset_buffer is None:
        return np.empty(0, np.uint8), np.zeros(len(array) + 1, np.int64)
    offsets: npt.NDArray[Any] = np.frombuffer(offset_buffer, np.int64 if wide else np.int32)
    offsets = offsets[array.offset : array.offset + len(array) + 1]
    empty = data_buffer is None or data_buffer.size == 0
    data = np.empty(0, np.uint8) if empty else np.frombuffer(data_buffer, np.uint8)
    return data, offsets.astype(np.int64, copy=False)


def _from_texts(texts: Sequence[str]) -> Slices:
    return _slices(pa.array(texts, pa.large_string()))


def _int64(array: pa.Array) -> npt.NDArray[np.int64]:
    """View a null-free integer or temporal array as int64, widening what is narrower."""
    if array.type.bit_width == 64 and not pa.types.is_integer(array.type):
        array = array.view(pa.int64())
    elif pa.types.is_temporal(array.type):
        array = array.view(pa.int32())
    numbers: npt.NDArray[np.int64] = array.to_numpy(zero_copy_only=False).astype(
        np.int64, copy=False
    )
    return numbers


def _rows(mask: npt.NDArray[np.bool_], at: Positions | None) -> npt.NDArray[np.int64]:
    found = np.flatnonzero(mask)
    return found if at is None else at[found]


def _python_cells(
    array: pa.Array,
    at: Positions | None,
    encode: Callable[[Any], tuple[str, int | str]],
) -> Iterator[Segment]:
    """Encode each cell, once per distinct value where Arrow can tell, to (tag, word or text)."""
    if pa.types.is_nested(array.type) or pa.types.is_interval(array.type):
        values, index = countable(array), np.arange(len(array))
    else:
        encoded = array.dictionary_encode()
        values, index = encoded.dictionary, encoded.indices.to_numpy(zero_copy_only=False)
    cells = [encode(value) for value in values.to_pylist()]
    tags = sorted({tag for tag, _ in cells})
    code = {tag: i for i, tag in enumerate(tags)}
    tag_of = np.array([code[tag] for tag, _ in cells], np.int64)[index]
    rank = np.empty(len(cells), np.int64)
    for tag in tags:
        members = [i for i, (own, _) in enumerate(cells) if own == tag]
        rank[members] = np.arange(len(members))
        here = np.flatnonzero(tag_of == code[tag])
        pick = rank[index[here]]
        where = here if at is None else at[here]
        contents = [cells[i][1] for i in members]
        if isinstance(contents[0], int):
            words = np.array(contents, np.int64).view(np.uint64)[pick]
            yield Segment(tag, where, words=words)
        else:
            texts = pa.array([str(text) for text in contents], pa.large_string())
            yield Segment(tag, where, slices=_slices(texts.take(pa.array(pick))))


def _float_words(numbers: npt.NDArray[np.float64]) -> Words:
    positive_zero = numbers + 0.0  # -0.0 + 0.0 is 0.0
    positive_zero[np.isnan(positive_zero)] = np.nan
    return positive_zero.view(np.uint64)


def _value_floats(numbers: npt.NDArray[np.float64], at: Positions | None) -> Iterator[Segment]:
    whole = np.floor(numbers) == numbers
    if not whole.any():
        yield Segment("number/float", at, words=_float_words(numbers))
        return
    small = whole & (numbers >= -(2.0**63)) & (numbers < 2.0**63)
    yield Segment(
        "number/int", _rows(small, at), words=numbers[small].astype(np.int64).view(np.uint64)
    )
    large = whole & ~small & np.isfinite(numbers)
    rest = ~small & ~large
    yield Segment("number/float", _rows(rest, at), words=_float_words(numbers[rest]))
    if large.any():
        distinct, index = np.unique(numbers[large], return_inverse=True)
        texts = [str(int(number)) for number in distinct]
        yield Segment(
            "number/text", _rows(large, at), slices=_from_texts([texts[i] for i in index])
        )


def _value_decimal(number: decimal.Decimal) -> tuple[str, int | str]:
    if number == number.to_integral_value():
        whole = int(number)
        return ("number/int", whole) if -(2**63) <= whole < 2**63 else ("number/text", str(whole))
    nearest = float(number)
    if decimal.Decimal(repr(nearest)) == number:
        return "number/float", int(np.float64(nearest).view(np.int64))
    # a fraction; not normalize(): that rounds to the context's 28 digits
    return "number/text", format(number, "f").rstrip("0")


_TICKS_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def _value_ticks(
    ticks: npt.NDArray[np.int64], unit: str, family: str, at: Positions | None
) -> Iterator[Segment]:
    """Bring ticks to microseconds; what does not fit keeps its own tag, so that nothing merges."""
    if unit == "ns":
        micros, rest = np.divmod(ticks, 1000)
        fits = rest == 0
    else:
        factor = 10**6 // _TICKS_PER_SECOND[unit]
        limit = (2**63 - 1) // factor
        fits = (ticks <= limit) & (ticks >= -limit)
        micros = np.where(fits, ticks, 0) * factor
    if fits.all():
        yield Segment(f"{family}/us", at, words=micros.view(np.uint64))
        return
    yield Segment(f"{family}/us", _rows(fits, at), words=micros[fits].view(np.uint64))
    yield Segment(f"{family}/{unit}", _rows(~fits, at), words=ticks[~fits].view(np.uint64))


def _text_cells(array: pa.Array, at: Positions | None) -> Iterator[Segment]:
    t = pa.types
    data_type = array.type
    if is_string_like(data_type):
        yield Segment("text", at, slices=_slices(array))
    elif t.is_integer(data_type):
        yield Segment("text", at, slices=_slices(array.cast(pa.large_string())))
    elif t.is_nested(data_type):
        yield from _python_cells(array, at, lambda v: ("text", json_text(v, data_type, "text")))
    elif t.is_float64(data_type):
        encoded = array.dictionary_encode()
        numbers = pa.array(float_texts(encoded.dictionary.to_numpy(zero_copy_only=False)))
        yield Segment("text", at, slices=_slices(numbers.take(encoded.indices)))
    elif t.is_float16(data_type) or t.is_float32(data_type):
        narrow = np.float16 if t.is_float16(data_type) else np.float32
        yield from _python_cells(array, at, lambda v: ("text", scalar_text(narrow(v))))
    elif t.is_temporal(data_type) and not t.is_interval(data_type):
        texts = temporal_texts(_days_or_ticks(array), data_type)
        yield Segment("text", at, slices=_from_texts(texts))
    else:
        yield from _python_cells(array, at, lambda v: ("text", scalar_text(v)))


def _days_or_ticks(array: pa.Array) -> npt.NDArray[np.int64]:
    ticks = _int64(array)
    return ticks // 86_400_000 if pa.types.is_date64(array.type) else ticks


def _cells(array: pa.Array, at: Positions | None, equality: Equality) -> Iterator[Segment]:
    """Split a null-free array into segments of canonical cells for ``typed`` and ``value``."""
    t = pa.types
    data_type = array.type
    typed = equality == "typed"
    tag = logical_type(data_type) if typed else type_family(data_type)
    if is_string_like(data_type) or is_binary_like(data_type):
        yield Segment(tag, at, slices=_slices(array))
    elif t.is_boolean(data_type):
        yield Segment(tag, at, words=array.to_numpy(zero_copy_only=False).astype(np.uint64))
    elif t.is_uint64(data_type):
        words = array.to_numpy(zero_copy_only=False)
        fits = words < np.uint64(2**63)
        if typed or fits.all():
            yield Segment(tag if typed else "number/int", at, words=words)
        else:
            yield Segment("number/int", _rows(fits, at), words=words[fits])
            texts = [str(word) for word in words[~fits].tolist()]
            yield Segment("number/text", _rows(~fits, at), slices=_from_texts(texts))
    elif t.is_integer(data_type):
        yield Segment(tag if typed else "number/int", at, words=_int64(array).view(np.uint64))
    elif t.is_floating(data_type):
        numbers = array.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
        if typed:
            yield Segment(tag, at, words=_float_words(numbers))
        else:
            yield from _value_floats(numbers, at)
    elif t.is_decimal(data_type):
        encode = (lambda v: (tag, format(v, "f"))) if typed else _value_decimal
        yield from _python_cells(array, at, encode)
    elif t.is_date(data_type):
        yield Segment(tag, at, words=_days_or_ticks(array).view(np.uint64))
    elif t.is_timestamp(data_type) or t.is_duration(data_type):
        ticks = _int64(array)
        if typed:
            yield Segment(tag, at, words=ticks.view(np.uint64))
        else:
            yield from _value_ticks(ticks, data_type.unit, tag, at)
    elif t.is_time(data_type):
        factor = 1 if typed else 10**9 // _TICKS_PER_SECOND[data_type.unit]
        yield Segment(tag, at, words=(_int64(array) * factor).view(np.uint64))
    elif t.is_nested(data_type) and not t.is_union(data_type):
        yield from _python_cells(array, at, lambda v: (tag, json_text(v, data_type, equality)))
    elif t.is_interval(data_type):
        yield from _python_cells(array, at, lambda v: (tag, str(v)))
    else:
        raise UnhashableColumnError(unhashable(data_type))


def null_tag(equality: Equality) -> str:
    """Return the tag of NULL, which has no content."""
    return "text" if equality == "text" else "null"


def segments(array: pa.Array, equality: Equality) -> Iterator[Segment]:
    """Split any array that is not dictionary-encoded into segments that cover each row once."""
    if array.null_count == 0:
        at = None
    else:
        null = array.is_null().to_numpy(zero_copy_only=False)
        yield Segment(null_tag(equality), np.flatnonzero(null))
        at = np.flatnonzero(~null)
        array = array.drop_null()
    if len(array):
        yield from (_text_cells(array, at) if equality == "text" else _cells(array, at, equality))


def plain(array: pa.Array) -> pa.Array:
    """Undo extension types and run-end encoding."""
    if isinstance(array, pa.ExtensionArray):
        return plain(array.storage)
    return pc.run_end_decode(array) if pa.types.is_run_end_encoded(array.type) else array


def decoded(array: pa.Array) -> pa.Array:
    """Undo dictionary encoding."""
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
