"""Sketches of texts that earlier runs made, by content: a text that is known is not shingled again.

One Parquet file a run and scheme, written whole and then named; any of them may be removed at any time. Files are
read and written some thousand rows at a time.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from assets.deduplication.name_places import NamePlaces
from assets.deduplication.sketch_frames import SCHEMA
from resources.stage_spec import digest

I64 = npt.NDArray[np.int64]
MOST_FILES = 16
BATCH = 1 << 15


class SketchCache:
    """The sketches of one scheme.

    Parameters
    ----------
    folder
        Where caches of sketches lie.
    scheme
        All that a sketch depends on beside its text; sketches of different schemes never meet.
    """

    def __init__(self, folder: Path, scheme: str) -> None:
        self.folder = folder / digest(scheme)

    def known(self, keys: pl.Series) -> Iterator[tuple[I64, pl.DataFrame]]:
        """Yield the sketches of those of the keys that are known, once each, with their places in `keys`.

        Parameters
        ----------
        keys
            (n,) distinct keys.
        """
        files = self._files()
        if not files:
            return
        places_of = NamePlaces(keys)
        seen = np.zeros(len(keys), bool)
        for frame in self._read(files):
            places = places_of.find(frame["key"])
            rows = np.flatnonzero((places >= 0) & ~seen[places])
            places, once = np.unique(places[rows], return_index=True)
            if len(places):
                seen[places] = True
                yield places, frame[rows[once]]

    def add(self, sketches: Iterable[pl.DataFrame]) -> None:
        """Keep the sketches of new texts; many small files become one."""
        fresh = (frame for frame in sketches if frame.height)
        first = next(fresh, None)
        if first is None:
            return
        files = self._files()
        if len(files) < MOST_FILES:
            files = []
        self.folder.mkdir(parents=True, exist_ok=True)
        made = self.folder / f"{uuid.uuid4().hex}.new"
        schema = first.to_arrow().schema
        with pq.ParquetWriter(made, schema, compression="zstd") as writer:
            for frame in chain([first], fresh, self._read(files)):
                writer.write_table(frame.to_arrow().cast(schema))
        made.replace(made.with_suffix(".parquet"))
        for file in files:
            with contextlib.suppress(OSError):
                file.unlink()

    def _read(self, files: list[Path]) -> Iterator[pl.DataFrame]:
        """Read what can be read: a file that was removed or damaged meanwhile was only a help."""
        for file in files:
            with (
                contextlib.suppress(OSError, pa.ArrowException, pl.exceptions.PolarsError),
                pq.ParquetFile(file) as opened,
            ):
                for batch in opened.iter_batches(BATCH, columns=list(SCHEMA), use_threads=False):
                    yield pl.DataFrame(batch, schema_overrides=SCHEMA)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.parquet"))
