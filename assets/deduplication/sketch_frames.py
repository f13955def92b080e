"""Sketches of texts as a table: one row a key, with set digest, set size and band keys."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from assets.deduplication.errors import SimilarityError
from assets.deduplication.keys import format_keys, parse_keys

I64 = npt.NDArray[np.int64]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
SCHEMA = {"key": pl.String, "digest": pl.Binary, "size": pl.Int64, "bands": pl.Binary}
"""`digest`: two, `bands`: a number a band; little-endian uint64 and uint32."""


def sketch_frame(high: U64, low: U64, digests: U64, sizes: I64, bands: U32) -> pl.DataFrame:
    """Pack sketches.

    Parameters
    ----------
    high, low
        (n,) halves of the keys.
    digests, sizes, bands
        (n, 2), (n,) and (n, number of bands).
    """
    return pl.DataFrame(
        {
            "key": pl.Series(format_keys(high, low), dtype=pl.String),
            "digest": _packed(digests.astype("<u8", copy=False)),
            "size": sizes,
            "bands": _packed(bands.astype("<u4", copy=False)),
        },
        schema=SCHEMA,
    )


def read_sketches(frame: pl.DataFrame, bands: int) -> tuple[U64, U64, U64, I64, U32]:
    """Unpack what `sketch_frame` packed: high, low, digests, sizes, bands.

    Raises
    ------
    SimilarityError
        When a sketch has another number of bands: it was made under another scheme.
    """
    high, low = parse_keys(frame["key"].to_arrow())
    digests = _unpacked(frame["digest"], "<u8", 2).astype(np.uint64)
    sizes = frame["size"].to_numpy().astype(np.int64)
    return high, low, digests, sizes, _unpacked(frame["bands"], "<u4", bands).astype(np.uint32)


def _packed(rows: npt.NDArray[np.unsignedinteger]) -> pl.Series:
    wide = np.ascontiguousarray(rows)
    width = wide.shape[1] * wide.itemsize
    fixed = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(width), len(wide), [None, pa.py_buffer(wide)]
    )
    return pl.Series(fixed.cast(pa.large_binary()), dtype=pl.Binary)


def _unpacked(column: pl.Series, kind: str, width: int) -> npt.NDArray[np.unsignedinteger]:
    if not len(column):
        return np.empty((0, width), kind)
    size = np.dtype(kind).itemsize * width
    if column.null_count() or (column.bin.size() != size).any():
        message = f"a sketch is not {size} bytes wide: it was made under another scheme; sketch the texts again"
        raise SimilarityError(message)
    array = column.to_arrow().cast(pa.large_binary())
    start = np.frombuffer(array.buffers()[1], np.int64)[array.offset]
    flat = np.frombuffer(array.buffers()[2], kind, len(column) * width, int(start))
    return flat.reshape(len(column), width)
