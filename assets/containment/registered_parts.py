"""Data files of registered tables that are read in place, as parts that are hashed once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

import pyarrow as pa

from assets.containment.hash_parts import Part, parts_of
from assets.containment.shared_files import STORED, StoredFile, stored_files
from assets.ingestion.access import RegisteredTable
from assets.ingestion.model import Source, SourceError
from assets.ingestion.read import read
from assets.ingestion.register import stays_in_place
from assets.ingestion.source_changes import fingerprint, has_changed
from resources.errors import StoreError


def pinned_sources(
    tables: Mapping[str, RegisteredTable], sources: Iterable[Source]
) -> dict[str, Source]:
    """Return the stored sources that are still what was registered, by table.

    Parameters
    ----------
    tables
        Registered tables.
    sources
        The lake's listing.
    """
    return {
        source.table: source
        for source in sources
        if source.table in tables
        and source.format in STORED
        and stays_in_place(source)
        and fingerprint(source) == tables[source.table].fingerprint
    }


def registered_parts(sources: Mapping[str, Source]) -> dict[str, list[Part]]:
    """Return the data files of each source; reading one that changed raises `StoreError`."""
    return {
        name: parts_of(stored_files(source), read(source).schema, partial(_batches, source))
        for name, source in sources.items()
    }


def _batches(source: Source, columns: Sequence[str], only: StoredFile) -> Iterator[pa.Table]:
    try:
        for batch in read(source, only=only.path):
            yield pa.Table.from_batches([batch]).select(list(columns))
    except SourceError as error:
        raise StoreError(str(error)) from error
    if has_changed(source):
        message = f"{source.path}: changed since this run registered it. Run again: the next run reads it anew."
        raise StoreError(message)
