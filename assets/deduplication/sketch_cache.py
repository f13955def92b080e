"""Sketches of texts that earlier runs made, by content: a text that is known is not shingled again.

One Parquet file a run and scheme, written whole and then named; any of them may be removed at any time.
"""

from __future__ import annotations

import contextlib
import uuid
from pathlib import Path

import polars as pl

from assets.deduplication.sketch_frames import SCHEMA
from resources.stage_spec import digest

MOST_FILES = 16


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

    def known(self, keys: pl.Series) -> pl.DataFrame:
        """Return the sketches of those of the keys that are known."""
        return self._read(self._files(), pl.DataFrame({"key": keys}).unique())

    def add(self, sketches: pl.DataFrame) -> None:
        """Keep the sketches of new texts; many small files become one."""
        if sketches.is_empty():
            return
        files = self._files()
        if len(files) >= MOST_FILES:
            sketches = pl.concat([self._read(files), sketches]).unique("key", keep="any")
        else:
            files = []
        self.folder.mkdir(parents=True, exist_ok=True)
        fresh = self.folder / f"{uuid.uuid4().hex}.new"
        sketches.write_parquet(fresh)
        fresh.replace(fresh.with_suffix(".parquet"))
        for file in files:
            with contextlib.suppress(OSError):
                file.unlink()

    def _read(self, files: list[Path], wanted: pl.DataFrame | None = None) -> pl.DataFrame:
        """Read what can be read: a file that was removed or damaged meanwhile was only a help."""
        if not files:
            return pl.DataFrame(schema=SCHEMA)
        found = pl.scan_parquet(files)
        if wanted is not None:
            found = found.join(wanted.lazy(), on="key", how="semi")
        try:
            return found.unique("key", keep="any").collect(engine="streaming")
        except (pl.exceptions.PolarsError, OSError):
            return pl.DataFrame(schema=SCHEMA)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.parquet"))
