"""Vectors that a run has made and not committed yet, kept so that a killed run loses a minute, not a day.

A part is a Parquet file of rows of ``scoring/embeddings``, written under a hidden name and then renamed, in
a folder of the embedder. The next run takes a part's rows instead of embedding their contents again. A
vector is a function of content and embedder alone, so parts of any run serve any other.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

SECONDS = 30.0
"""A part is written this long after the one before, so that quick embedders write none."""
BYTES = 64 << 20
"""Nor do more bytes of rows wait in memory."""


@dataclass
class VectorParts:
    """The parts of one embedder.

    Parameters
    ----------
    root
        Folder of all embedders' parts.
    embedder_id
        The space.
    seconds
        How much work may be lost.
    """

    root: Path
    embedder_id: str
    seconds: float = SECONDS
    _waiting: list[pa.Table] = field(default_factory=list, init=False)
    _bytes: int = field(default=0, init=False)
    _since: float = field(default_factory=time.monotonic, init=False)

    @property
    def folder(self) -> Path:
        """Where they are."""
        return self.root / hashlib.blake2b(self.embedder_id.encode(), digest_size=16).hexdigest()

    def add(self, rows: pa.Table) -> None:
        """Keep rows; written once `seconds` have passed since the last part, or `BYTES` wait."""
        self._waiting.append(rows)
        self._bytes += rows.nbytes
        if time.monotonic() - self._since < self.seconds and self._bytes < BYTES:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        name = uuid.uuid4().hex
        hidden = self.folder / f".{name}"
        pq.write_table(pa.concat_tables(self._waiting), hidden)
        hidden.replace(self.folder / f"{name}.parquet")
        self._waiting, self._bytes, self._since = [], 0, time.monotonic()

    def rows(self) -> list[Path]:
        """Return the parts that can be read; one that is damaged is removed."""
        found = []
        for path in sorted(self.folder.glob("*.parquet")):
            try:
                pq.read_metadata(path)
            except (pa.ArrowException, OSError):
                path.unlink(missing_ok=True)
            else:
                found.append(path)
        return found

    def wanted(self, contents: pl.LazyFrame) -> Iterator[pl.DataFrame]:
        """Yield the rows of contents that are asked for, each once, a part at a time.

        Parameters
        ----------
        contents
            With the column `content_id`: what still needs a vector. Parts of which nothing is asked
            for were committed since, or their contents are gone: they are removed.
        """
        asked = contents.select("content_id").unique().collect(engine="streaming")
        open_ = asked
        for path in self.rows():
            own = pl.read_parquet(path).unique("content_id", keep="first", maintain_order=True)
            if not own.join(asked, on="content_id", how="semi").height:
                path.unlink(missing_ok=True)
                continue
            found = own.join(open_, on="content_id", how="semi")
            open_ = open_.join(found, on="content_id", how="anti")
            if found.height:
                yield found
