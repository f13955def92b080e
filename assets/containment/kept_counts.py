"""Counts of pairs whose tables did not change, kept from search to search.

So one more table costs its own reading and its own pairs: nothing is read of the pairs that were counted before.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from assets.containment.described_cache import DescribedCache
from assets.containment.hash_store import Columns, HashStore
from assets.kernels.cell_hash import SCHEME

_COUNTS = {
    "child_distinct": pl.Int64,
    "common": pl.Int64,
    "child_rows": pl.Int64,
    "common_multiset": pl.Int64,
    "parent_rows": pl.Int64,
    "containment": pl.Float64,
    "multiset_containment": pl.Float64,
    "witness": pl.Int64,
}
_SCHEMA = {"child": pl.String, "parent": pl.String, **_COUNTS}
_FORMAT = 1

NO_COUNTS = pl.DataFrame(schema=_SCHEMA)
"""The columns of kept counts."""


class KeptCounts:
    """One file a set of columns; any of them may be removed.

    Parameters
    ----------
    folder
        Of the cache.
    store
        Says which version of a table a pair means.
    """

    def __init__(self, folder: Path, store: HashStore) -> None:
        self.files = DescribedCache(folder / "pair_counts")
        self.store = store

    def load(self, columns: Columns, pairs: Iterable[tuple[str, str]]) -> pl.DataFrame:
        """Return what is kept of some pairs: child, parent, and columns of `PairCounter.count`."""
        name = json.dumps(columns)
        known = self.files.load(name, self._version()) or {"keys": [], "rows": []}
        rows = dict(zip(map(tuple, known["keys"]), known["rows"], strict=True))
        found = [
            (child, parent, *rows[key])
            for child, parent in pairs
            if (key := self._key(columns, child, parent)) in rows
        ]
        return pl.DataFrame(found, schema=_SCHEMA, orient="row")

    def save(self, columns: Columns, counted: pl.DataFrame) -> None:
        """Keep these pairs, and no others, for the next search on the same columns."""
        pairs = counted.select("child", "parent").rows()
        known = {
            "keys": [self._key(columns, child, parent) for child, parent in pairs],
            "rows": counted.select(*_COUNTS).rows(),
        }
        self.files.save(json.dumps(columns), self._version(), known)

    def _version(self) -> str:
        return f"{_FORMAT}:{SCHEME}:{self.store.equality}"

    def _key(self, columns: Columns, child: str, parent: str) -> tuple[str, str]:
        return self.store.key(child, columns), self.store.key(parent, columns)
