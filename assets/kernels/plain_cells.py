"""Hash the cells of the common layouts in one pass over Arrow's buffers, NULL and all.

The same hashes as by way of `cell_bytes.segments`, without dropping NULLs and putting cells back; whatever
needs more than one look at a cell is left to that way.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from assets.kernels.cell_bytes import Equality, null_tag
from assets.kernels.logical_types import is_string_like, logical_type, type_family
from assets.kernels.xxh64 import (
    Hashes,
    hash_bytes,
    hash_floats,
    hash_slices,
    hash_words,
    put_where_null,
    take_hashes,
)

_OFFSETS = {
    pa.string(): np.int32,
    pa.binary(): np.int32,
    pa.large_string(): np.int64,
    pa.large_binary(): np.int64,
}
_NUMBERS: dict[pa.DataType, Any] = {
    pa.int8(): np.int8,
    pa.int16(): np.int16,
    pa.int32(): np.int32,
    pa.int64(): np.int64,
    pa.uint8(): np.uint8,
    pa.uint16(): np.uint16,
    pa.uint32(): np.uint32,
    pa.date32(): np.int32,
    pa.float32(): np.float32,
    pa.float64(): np.float64,
}


def plain_cells(array: pa.Array, base: np.uint64, equality: Equality) -> Hashes | None:
    """Hash the cells of an array.

    Parameters
    ----------
    array : pa.Array
        n cells, neither of an extension type nor run-end encoded.
    base : np.uint64
        Hash of the column's name.
    equality : {"typed", "value", "text"}
        Which cells are equal.

    Returns
    -------
    np.ndarray or None
        n hashes; None for a layout, or values, that need the long way.
    """
    if pa.types.is_dictionary(array.type):
        found = _dictionary_cells(array, base, equality)
    elif equality == "text" and not is_string_like(array.type):
        found = None
    elif array.type in _OFFSETS:
        found = _slice_cells(array, base, equality)
    else:
        found = _word_cells(array, base, equality)
    if found is not None and array.null_count:
        valid = np.frombuffer(array.buffers()[0], np.uint8)
        null = hash_bytes(b"", seed_of(null_tag(equality), base))
        put_where_null(found, valid, array.offset, null)
    return found


def _dictionary_cells(
    array: pa.DictionaryArray, base: np.uint64, equality: Equality
) -> Hashes | None:
    """Hash each distinct value once."""
    if array.indices.type not in _NUMBERS:
        return None
    values = plain_cells(array.dictionary, base, equality)
    if values is None:
        return None
    return take_hashes(values, _numbers(array.indices, array.indices.type, np.int32))


def _slice_cells(array: pa.Array, base: np.uint64, equality: Equality) -> Hashes:
    _, offsets, data = array.buffers()
    if not len(array) or offsets is None:
        return np.empty(0, np.uint64)
    ends = np.frombuffer(offsets, _OFFSETS[array.type])
    content = np.frombuffer(data, np.uint8) if data is not None and data.size else _NOTHING
    own = ends[array.offset : array.offset + len(array) + 1]
    return hash_slices(content, own, seed_of(plain_tag(array.type, equality), base))


_NOTHING = np.empty(0, np.uint8)


@lru_cache(1 << 12)
def seed_of(tag: str, base: np.uint64) -> np.uint64:
    """Return the seed of cells of one tag in the column whose name hashes to `base`."""
    return hash_bytes(tag.encode(), base)


@lru_cache(1 << 10)
def plain_tag(kind: pa.DataType, equality: Equality) -> str | None:
    """Return the tag of cells of a type that are hashed without a second look; None if they need one."""
    t = pa.types
    tag = logical_type(kind) if equality == "typed" else type_family(kind)
    if kind in _OFFSETS:
        return "text" if equality == "text" else tag
    if t.is_timestamp(kind):
        return tag if equality == "typed" else f"{tag}/us" if kind.unit == "us" else None
    if t.is_integer(kind) and kind in _NUMBERS:
        return tag if equality == "typed" else "number/int"
    if t.is_floating(kind) and kind in _NUMBERS:
        return "number/float" if equality == "value" else None
    return tag if t.is_date32(kind) or t.is_boolean(kind) else None


def _word_cells(array: pa.Array, base: np.uint64, equality: Equality) -> Hashes | None:
    kind = array.type
    tag = plain_tag(kind, equality)
    if tag is None:
        return None
    seed = seed_of(tag, base)
    if tag == "number/float":
        floats = _numbers(array, kind, np.float64)
        cells, fit = hash_floats(floats, seed_of("number/int", base), seed)
        return cells if fit else None
    if pa.types.is_boolean(kind):
        return take_hashes(hash_words(np.arange(2, dtype=np.uint64), seed), _bits(array))
    layout = pa.int64() if pa.types.is_timestamp(kind) else kind
    return hash_words(_numbers(array, layout, np.int64).view(np.uint64), seed)


def _numbers(array: pa.Array, layout: pa.DataType, wanted: Any) -> npt.NDArray[Any]:  # noqa: ANN401
    """View the values of an array, NULL or not, and widen them where they are narrower."""
    data = array.buffers()[1]
    if data is None:
        return np.empty(0, wanted)
    own = np.frombuffer(data, _NUMBERS[layout])[array.offset : array.offset + len(array)]
    return own.astype(wanted, copy=False)


def _bits(array: pa.Array) -> npt.NDArray[np.int32]:
    data = array.buffers()[1]
    if data is None:
        return np.empty(0, np.int32)
    first, last = array.offset // 8, (array.offset + len(array) + 7) // 8
    bits = np.unpackbits(np.frombuffer(data, np.uint8)[first:last], bitorder="little")
    return bits[array.offset % 8 :][: len(array)].astype(np.int32)
