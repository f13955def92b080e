"""An index of texts as a Delta table: what a later comparison needs, so that old texts are never read again.

One row a record: `id`, `key` (content id), `scheme`, and, for the first record of a content in each batch,
`size` (distinct shingles), `signature` (datasketch 2's affine32 over `shingles.hashfunc`: little-endian
uint32) and `shingles` (the set itself: little-endian uint64 hashes, 8 bytes a distinct shingle), by which
similarities are exact. Copies have nulls there. `datasketch.MinHash(num_perm, seed,
hashfunc=..., hashvalues=..., scheme="affine32")` opens a signature.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from assets.deduplication.errors import IndexSchemeError
from assets.deduplication.file_texts import FileColumnError, FileTexts
from assets.deduplication.minhash import sketch_texts
from assets.deduplication.scheme import Scheme
from assets.deduplication.shingles import exact_sets
from assets.deduplication.text_spans import text_spans
from resources import delta
from resources.staged_table import StagedTable

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("key", pa.string()),
        ("scheme", pa.string()),
        ("size", pa.int64()),
        ("signature", pa.binary()),
        ("shingles", pa.binary()),
    ]
)
SLICE_BYTES = 4 << 20
U64 = npt.NDArray[np.uint64]
U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]


def index_scheme(folder: Path) -> Scheme | None:
    """Return the one scheme of an index; None where there is no table.

    Raises
    ------
    IndexSchemeError
        The table is no index, or holds rows of several schemes, or of one that can't be compared.
    """
    table = delta.open_table(folder)
    if table is None:
        return None
    names = set(table.schema().to_arrow().names)
    if not names >= set(SCHEMA.names):
        message = f"{folder} is a table with columns {', '.join(sorted(names))[:200]} and no index"
        raise IndexSchemeError(message)
    tags = {
        str(metadata["scheme"])
        for _, metadata in delta.commits(folder)
        if isinstance(metadata.get("scheme"), str)
    }
    rows = delta.scan(folder, table.version()).select(pl.col("scheme").unique()).collect()
    tags |= set(rows["scheme"].drop_nulls())
    if len(tags) != 1:
        message = (
            f"{folder} holds signatures of {len(tags)} schemes ({', '.join(sorted(tags))}); they "
            "can't be compared: write the index anew"
        )
        raise IndexSchemeError(message)
    return Scheme.read(tags.pop(), str(folder))


def write_index(folder: Path, texts: FileTexts, scheme: Scheme) -> int:
    """Write an index of some texts, or add them to one of the same scheme; returns how many records.

    One atomic commit; memory is a batch and 16 bytes and the id a record.

    Raises
    ------
    IndexSchemeError
        The index that is there has another scheme.
    FileColumnError
        An id occurs twice, or is in the index already.
    """
    there = index_scheme(folder)
    if there is not None and there != scheme:
        message = (
            f"{folder} is an index of the scheme {there}, and {scheme} was asked for; signatures "
            "of different schemes can't be compared: write to another folder"
        )
        raise IndexSchemeError(message)
    staged = StagedTable(folder, SCHEMA)
    ids: list[pl.Series] = []
    try:
        for frame, values in texts:
            ids.append(frame["id"])
            for rows in _sketched(frame, values, scheme):
                staged.write(rows)
        every = pl.concat(ids) if ids else pl.Series("id", [], dtype=pl.String)
        texts.refuse_repeated(every)
        if there is not None:
            _refuse_known(folder, every)
        staged.close()
        staged.commit({"scheme": str(scheme)}, mode="overwrite" if there is None else "append")
    except BaseException:
        staged.discard()
        raise
    return len(every)


def _refuse_known(folder: Path, ids: pl.Series) -> None:
    table = delta.open_table(folder)
    assert table is not None
    known = (
        delta.scan(folder, table.version())
        .select("id")
        .join(pl.LazyFrame({"id": ids}), on="id", how="semi")
        .head(1)
        .collect(engine="streaming")
    )
    if known.height:
        message = (
            f"record {known['id'][0]!r} is in {folder} already; name a column with ids that differ "
            "(--id), or write to another folder"
        )
        raise FileColumnError(message)


def _sketched(frame: pl.DataFrame, values: pa.Array, scheme: Scheme) -> Iterator[pa.Table]:
    """Yield rows of the index, so cut that their sets are of some size."""
    first = frame["key"].is_first_distinct().to_numpy()
    spans = text_spans(values)
    length = np.where(first, spans.ends - spans.starts, 0)
    cuts = np.flatnonzero(np.diff(np.cumsum(length) // SLICE_BYTES)) + 1
    for rows in np.split(np.arange(len(first)), cuts):
        chosen = rows[first[rows]]
        part = spans.take(chosen)
        done = sketch_texts(part, scheme.rule, scheme.drawn)
        flat, offsets = exact_sets(part, scheme.rule, done.sizes)
        sets = _binary(flat.astype("<u8", copy=False), np.append(offsets, len(flat)) * 8)
        width = done.signatures.shape[1] * 4
        signatures = _binary(
            done.signatures.astype("<u4", copy=False), np.arange(len(chosen) + 1) * width
        )
        place = pa.array(np.cumsum(first[rows]) - 1, mask=~first[rows])
        some = frame[rows[0] : rows[-1] + 1] if len(rows) else frame.head(0)
        yield pa.table(
            {
                "id": some["id"].to_arrow(),
                "key": some["key"].to_arrow(),
                "scheme": pa.repeat(pa.scalar(str(scheme)), len(rows)),
                "size": pa.array(done.sizes).take(place),
                "signature": signatures.take(place),
                "shingles": sets.take(place),
            }
        )


def _binary(values: npt.NDArray[np.unsignedinteger], offsets: I64) -> pa.Array:
    held = [
        None,
        pa.py_buffer(offsets.astype(np.int64)),
        pa.py_buffer(np.ascontiguousarray(values)),
    ]
    return pa.Array.from_buffers(pa.large_binary(), len(offsets) - 1, held)


@dataclass(frozen=True)
class RowGroup:
    """A row group of an index.

    Attributes
    ----------
    keys, sizes, signatures
        Of its rows that hold a set with an element: (n,), (n,) and (n, hashes).
    """

    keys: pl.Series
    sizes: I64
    signatures: U32
    _rows: I64
    _file: pq.ParquetFile
    _number: int

    def sets(self, chosen: I64) -> tuple[U64, I64]:
        """Read the sets of some of the rows: all elements, and where each set begins."""
        column = self._file.read_row_group(self._number, columns=["shingles"]).column(0)
        held = column.cast(pa.large_binary()).combine_chunks().take(pa.array(self._rows[chosen]))
        sizes = self.sizes[chosen]
        begins = np.frombuffer(held.buffers()[1], np.int64, len(held) + 1, held.offset * 8)
        flat = np.frombuffer(held.buffers()[2] or b"", "<u8")
        flat = flat[begins[0] // 8 : begins[-1] // 8].astype(np.uint64)
        if not np.array_equal(np.diff(begins) // 8, sizes):
            message = "a set of the index is not as large as it says: it is damaged; write it anew"
            raise IndexSchemeError(message)
        return flat, np.cumsum(sizes) - sizes


class IndexReader:
    """Reads an index row group by row group; the wide column of sets only where it is asked for."""

    def __init__(self, folder: Path) -> None:
        scheme = index_scheme(folder)
        table = delta.open_table(folder)
        if scheme is None or table is None:
            message = f"{folder} is no index; write one with --index {folder}"
            raise IndexSchemeError(message)
        self.folder, self.scheme, self.version = folder, scheme, table.version()

    def groups(self) -> Iterator[RowGroup]:
        """Yield the row groups of the pinned version."""
        for path in delta.files(self.folder, self.version):
            file = pq.ParquetFile(path)
            for number in range(file.num_row_groups):
                yield self._group(file, number)

    def _group(self, file: pq.ParquetFile, number: int) -> RowGroup:
        columns = ["key", "size", "signature"]
        table = file.read_row_group(number, columns=columns).combine_chunks()
        sizes = table.column("size").fill_null(0).to_numpy()
        rows = np.flatnonzero(sizes > 0)
        chosen = table.take(pa.array(rows))
        held = chosen.column("signature").combine_chunks()
        width = self.scheme.hashes
        if len(rows) and not (np.asarray(pc.binary_length(held)) == 4 * width).all():
            message = (
                f"{self.folder}: a signature has another length than {width} hashes: it is damaged"
            )
            raise IndexSchemeError(message)
        data = b"".join(held.to_pylist())
        signatures = np.frombuffer(data, "<u4").reshape(len(rows), width).astype(np.uint32)
        keys = pl.Series("key", chosen.column("key"), dtype=pl.String)
        return RowGroup(keys, sizes[rows].astype(np.int64), signatures, rows, file, number)

    def records(self, keys: pl.Series) -> pl.DataFrame:
        """Return key and id of every record that has one of the contents."""
        return (
            delta.scan(self.folder, self.version)
            .select("key", "id")
            .join(pl.LazyFrame({"key": keys.unique()}), on="key", how="semi")
            .collect(engine="streaming")
        )

    def ids(self, keys: pl.Series) -> pl.DataFrame:
        """Return key, id (the smallest) and copies (how many records) of contents."""
        every = self.records(keys).group_by("key")
        return every.agg(id=pl.col("id").min(), copies=pl.len().cast(pl.Int64))
