"""The one-pass way gives the hashes of the long way, for every layout, NULL and offset."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from assets.kernels.cell_bytes import segments
from assets.kernels.cell_hash import column_cells
from assets.kernels.plain_cells import plain_cells
from assets.kernels.xxh64 import hash_bytes, hash_slices, hash_words

BASE = np.uint64(12345)
FLOATS = [0.0, -0.0, 1.5, math.nan, math.inf, -math.inf, 2.0**62, -(2.0**63), -7.0, 1e-310, None]
ARRAYS = {
    "int8": pa.array([-128, None, 127], pa.int8()),
    "uint32": pa.array([2**32 - 1, 0, None], pa.uint32()),
    "int64": pa.array([None, -(2**63), 2**63 - 1, 5]),
    "float64": pa.array(FLOATS),
    "float32": pa.array([0.1, -0.0, None, 16777216.0], pa.float32()),
    "bool": pa.array([True, None, False, True, None] * 5),
    "date32": pa.array([-1, None, 20_000], pa.int32()).cast(pa.date32()),
    "us": pa.array([1, None, -1], pa.timestamp("us", "UTC")),
    "naive": pa.array([1, None, -1], pa.timestamp("us")),
    "string": pa.array(["", None, "a", "x" * 100, "é", "12345678", "123456789abc"]),
    "large": pa.array([None, "b" * 33, ""], pa.large_string()),
    "binary": pa.array([b"\xff\x00", None, b""]),
    "dictionary": pa.array(["a", None, "b", "a", ""]).dictionary_encode(),
    "null value in dictionary": pa.DictionaryArray.from_arrays(
        pa.array([0, 1, None, 1], pa.int8()), pa.array(["a", None])
    ),
}


def long_way(array, equality):
    """Hash by segments, the definition."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    out = np.empty(len(array), np.uint64)
    for tag, at, words, slices in segments(array, equality):
        where = np.arange(len(array)) if at is None else at
        seed = hash_bytes(tag.encode(), BASE)
        if words is not None:
            out[where] = hash_words(np.ascontiguousarray(words, np.uint64), seed)
        elif slices is not None:
            out[where] = hash_slices(*slices, seed)
        else:
            out[where] = hash_bytes(b"", seed)
    return out


@pytest.mark.parametrize("equality", ["typed", "value", "text"])
@pytest.mark.parametrize("name", ARRAYS)
def test_as_the_long_way(name, equality):
    array = ARRAYS[name]
    for start in range(len(array)):
        for part in (
            array[start:],
            array[start : start + 1],
            pa.concat_arrays([array[start:]] * 9),
        ):
            found = plain_cells(part, BASE, equality)
            if found is not None:
                assert found.tolist() == long_way(part, equality).tolist()


def test_what_is_common_takes_the_short_way():
    for name in set(ARRAYS) - {"binary"}:
        assert plain_cells(ARRAYS[name], BASE, "value") is not None, name


@pytest.mark.parametrize("number", [2.0**63, -(2.0**64), 1e300])
def test_whole_numbers_beyond_int64_take_the_long_way(number):
    array = pa.array([1.0, number, None])
    assert plain_cells(array, BASE, "value") is None
    cells = column_cells(array, "n", "value").tolist()
    text = str(int(number))
    seed = hash_bytes(b"number/text", hash_bytes(b"n", np.uint64(0)))
    assert cells[1] == int(hash_bytes(text.encode(), seed))
