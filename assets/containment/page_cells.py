"""Hash the rows of a Parquet file from its pages; what is not plain there is read as Arrow reads it.

Decoding a file into arrays takes three times as long as hashing them. Most of that is spared by hashing each value of a
dictionary once and adding cells to row sums page by page (`parquet_pages`). The hashes are those of `column_cells` on
what the reader delivers: a column goes this way only if its stored form is certain to be that of its type, and whatever
page is out of the ordinary sends the rest of its column the other way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from assets.ingestion.footers import Footer
from assets.ingestion.parquet_chunks import Leaf, chunk_pages, plain_leaves
from assets.ingestion.parquet_files import footer_of, open_parquet
from assets.kernels.cell_bytes import Equality, null_tag
from assets.kernels.cell_hash import column_cells, find_column
from assets.kernels.logical_types import is_string_like
from assets.kernels.parquet_pages import DONE, add_indexed, add_plain, plain_hashes
from assets.kernels.plain_cells import plain_tag, seed_of
from assets.kernels.xxh64 import Hashes, hash_bytes


class FileCells:
    """The cells of one Parquet file.

    Parameters
    ----------
    path
        The file; not compressed as a whole.
    schema
        The plain types as which its columns are read.
    batch_rows
        Rows that Arrow reads at a time.
    """

    def __init__(self, path: Path, schema: pa.Schema, batch_rows: int) -> None:
        self.path = path
        self.footer: Footer = footer_of(path)
        self.types = dict(zip(schema.names, schema.types, strict=True))
        self.batch_rows = batch_rows

    @cached_property
    def leaves(self) -> dict[str, Leaf]:
        """The columns whose pages are read as they are."""
        return plain_leaves(self.footer)

    def fits(self, without: Sequence[str]) -> bool:
        """Tell whether it has all columns, but perhaps for some, once each, in the wanted types, and no others."""
        names, types = self.footer.plain.names, self.footer.plain.types
        own = dict(zip(names, types, strict=True))
        rest = {
            name: kind for name, kind in self.types.items() if name in own or name not in without
        }
        return len(own) == len(names) and own == rest

    def has(self, columns: Sequence[str]) -> bool:
        """Tell whether it has these columns."""
        return set(columns) <= set(self.footer.plain.names)

    def groups(self, columns: Sequence[str], most_rows: int) -> Iterator[GroupCells | pa.Table]:
        """Yield the file's rows in order, row group by row group; Arrow's batches of a group of more than `most_rows`.

        Raises
        ------
        SourceError
            If Arrow can't read it.
        """
        with self.path.open("rb", buffering=0) as handle:
            for number in range(self.footer.metadata.num_row_groups):
                rows = self.footer.metadata.row_group(number).num_rows
                if rows > most_rows:
                    yield from self.read(number, columns)
                elif rows:
                    yield GroupCells(self, handle.fileno(), number, rows)

    def read(self, group: int, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Read columns of a row group as Arrow does."""
        with open_parquet(self.path, dictionaries=True) as opened:
            for batch in opened.iter_batches(
                self.batch_rows, row_groups=[group], columns=list(columns), use_threads=False
            ):
                table = pa.Table.from_batches([batch])
                for at, name in enumerate(table.column_names):
                    kind, own = self.types[name], table.column(at)
                    if own.type not in (kind, pa.dictionary(pa.int32(), kind)):
                        table = table.set_column(at, name, own.cast(kind))
                yield table


class GroupCells:
    """The cells of one row group, which are added to sums without being held."""

    def __init__(self, file: FileCells, handle: int, number: int, rows: int) -> None:
        self.file = file
        self.handle = handle
        self.number = number
        self.num_rows = rows

    def add(self, column: str, name: str, equality: Equality, sums: Hashes) -> None:
        """Add the hashes of a column's cells.

        Parameters
        ----------
        column, name, equality
            As of `column_cells`.
        sums
            One for each row, changed in place.
        """
        leaf = self.file.leaves.get(column)
        done = 0 if leaf is None else self._add_pages(leaf, column, name, equality, sums)
        if done < self.num_rows:
            at = 0
            for table in self.file.read(self.number, [column]):
                cells = column_cells(find_column(table, column), name, equality)
                own = sums[at : at + cells.size]
                own[max(done - at, 0) :] += cells[max(done - at, 0) :]
                at += cells.size

    def _add_pages(
        self, leaf: Leaf, column: str, name: str, equality: Equality, sums: Hashes
    ) -> int:
        """Add the hashes of the leading rows whose pages are as expected; returns how many rows."""
        kind = self.file.types[column]
        tag = plain_tag(kind, equality)
        if tag is None or (equality == "text" and not is_string_like(kind)):
            return 0
        base = seed_of(name, np.uint64(0))
        seed, whole = seed_of(tag, base), seed_of("number/int", base)
        null = hash_bytes(b"", seed_of(null_tag(equality), base))
        group = self.file.footer.metadata.row_group(self.number)
        dictionary = np.empty(0, np.uint64)
        done = 0
        try:
            for page in chunk_pages(self.handle, group, leaf):
                content, levels = page.content, page.levels
                if page.kind == 2:
                    dictionary, status = plain_hashes(
                        content, 0, leaf.kind, page.values, whole, seed
                    )
                else:
                    own = sums[done : done + page.values]
                    if not page.indexed:
                        status = add_plain(
                            content, levels, leaf.highest, leaf.kind, whole, seed, null, own
                        )
                    else:
                        status = add_indexed(content, levels, leaf.highest, dictionary, null, own)
                    done += page.values if status == DONE else 0
                if status != DONE:
                    return done
        except OSError:  # Arrow says what is wrong
            return done
        return done
