"""Gathers what scorers that compare records with each other need of all of them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from assets.kernels.identity import content_ids
from assets.scoring.protocol import ScoreBatch, ScoringError
from assets.scoring.vector_store import StoredRows, VectorStore


class WholeRecords:
    """Vectors, labels and places in the survivor order of all records that are added.

    Parameters
    ----------
    folder
        Where vectors are written that memory does not hold; the system's folder for such files where None.
    memory_bytes
        What the vectors may take in a search.

    Notes
    -----
    Memory: about 150 bytes a record beside the vectors.
    """

    def __init__(self, folder: Path | None = None, memory_bytes: int = 2_000_000_000) -> None:
        self.rows = 0
        self._folder = Path(tempfile.gettempdir()) if folder is None else folder
        self._memory = memory_bytes
        self._about: list[pl.DataFrame] = []
        self._store: VectorStore | None = None
        self._at: list[NDArray[np.int64]] = []
        self._without = False  # whether a batch had no vectors at all

    def add(self, batch: ScoreBatch) -> None:
        """Take in the next records."""
        roles = [batch.role] * len(batch) if isinstance(batch.role, str) else batch.role.to_pylist()
        text = pa.nulls(len(batch), pa.string()) if batch.text is None else batch.text
        label = pa.nulls(len(batch), pa.string()) if batch.label is None else batch.label
        self._about.append(
            pl.DataFrame(
                {
                    "id": batch.ids,
                    "role": pl.Series(roles, dtype=pl.String),
                    "label": pl.Series(label, dtype=pl.String),
                    "length": pl.Series(text, dtype=pl.String).str.len_bytes().cast(pl.Int64),
                    "content": pl.Series(content_ids("text", text), dtype=pl.String),
                }
            )
        )
        self._add_vectors(batch)
        self.rows += len(batch)

    def _add_vectors(self, batch: ScoreBatch) -> None:
        """Append a batch's vectors; one in which no record has a vector may have any length."""
        vectors = batch.embedding
        at = np.full(len(batch), -1, dtype=np.int64)
        if vectors is None:
            self._without = True
        elif vectors.any():
            if self._store is None:
                self._store = VectorStore(vectors.shape[1], self._folder, self._memory)
            if vectors.shape[1] != self._store.dim:
                message = (
                    f"--embedding: vectors have {sorted({self._store.dim, vectors.shape[1]})} numbers; "
                    "those of the files and of --target must come from one embedder"
                )
                raise ScoringError(message)
            at = self._store.rows + np.arange(len(batch))
            self._store.add(vectors)
        self._at.append(at)

    def batch(self, *, with_target: bool) -> tuple[ScoreBatch, NDArray[np.int64]]:
        """Return the records, those of the target last if wanted, and their survivor order.

        The order is that of a run: the longer text first, then by content, then by id.

        """
        about = pl.concat(self._about) if self._about else _nothing()
        rows = np.arange(about.height)
        if not with_target:
            rows = rows[(about["role"] == "train").to_numpy()]
        about = about[rows]
        order = about.with_row_index("row").sort(
            -pl.col("length"), "content", "id", nulls_last=True
        )
        rank = np.empty(about.height, dtype=np.int64)
        rank[order["row"].to_numpy()] = np.arange(about.height)
        batch = ScoreBatch(
            about["id"],
            label=about["label"].to_arrow(),
            embedding=self._embedding(rows),
            role=about["role"].to_arrow(),
        )
        return batch, rank

    def _embedding(self, rows: NDArray[np.int64]) -> Any:  # noqa: ANN401 an array, or like one
        if self._without or not self._at:
            return None
        if self._store is None:
            return np.zeros((len(rows), 1), dtype=np.float16)
        found = StoredRows(self._store.close(), np.concatenate(self._at)[rows])
        return found[:] if self._store.in_memory else found


def _nothing() -> pl.DataFrame:
    names = ["id", "role", "label", "content"]
    schema = {**dict.fromkeys(names, pl.String), "length": pl.Int64}
    return pl.DataFrame(schema=schema).select("id", "role", "label", "length", "content")
