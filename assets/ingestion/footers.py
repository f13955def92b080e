"""Footers of Parquet files, parsed once while a file stays as it is."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from assets.ingestion.arrow_types import plain_schema
from assets.ingestion.model import MIB

_DICTIONARY_BYTES = 2
_GROUP_ROWS = 1 << 14


@dataclass(frozen=True)
class Footer:
    """What the footer of a Parquet file says.

    Attributes
    ----------
    metadata
        As it is stored.
    schema
        Arrow's reading of its schema, INT96 as microseconds.
    """

    metadata: pq.FileMetaData
    schema: pa.Schema

    @cached_property
    def plain(self) -> pa.Schema:
        """The schema in plain types, see `plain_schema`."""
        return plain_schema(self.schema)

    @cached_property
    def in_dictionaries(self) -> tuple[str, ...]:
        """The top-level string columns that take at most two bytes a value, so that values must repeat."""
        if self.metadata.num_rows < _GROUP_ROWS * (self.metadata.num_row_groups - 1):
            return ()  # batches with a dictionary end where a row group ends
        groups = [self.metadata.row_group(n) for n in range(self.metadata.num_row_groups)]
        found = []
        for index in range(self.metadata.num_columns):
            column = self.metadata.schema.column(index)
            if column.physical_type != "BYTE_ARRAY" or "." in column.path:
                continue
            chunks = [group.column(index) for group in groups]
            size = sum(chunk.total_uncompressed_size for chunk in chunks)
            if size <= _DICTIONARY_BYTES * sum(chunk.num_values for chunk in chunks):
                found.append(column.path)
        return tuple(found)


class Footers:
    """The footers that were read last, by path and state of the file.

    Parameters
    ----------
    most_bytes
        Their size as stored, in all; the one used longest ago goes first.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[tuple[Any, ...], Footer] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, path: Path) -> tuple[tuple[Any, ...], Footer | None]:
        """Return what tells the file as it is now, and its footer if it is kept.

        Raises
        ------
        OSError
            If the file is not there.
        """
        status = os.stat(path)  # noqa: PTH116 - a path of any kind
        key = (str(path), status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
        return key, found

    def keep(self, key: tuple[Any, ...], footer: Footer) -> None:
        """Keep a footer."""
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = footer
            self._bytes += footer.metadata.serialized_size
            while self._bytes > self.most_bytes:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= oldest.metadata.serialized_size


RECENT = Footers(4 * MIB)
"""Shared by all who open Parquet files."""
