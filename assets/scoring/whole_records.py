"""Gathers what scorers that compare records with each other need of all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from assets.kernels.identity import content_ids
from assets.scoring.protocol import ScoreBatch, ScoringError


class WholeRecords:
    """Vectors, labels and places in the survivor order of all records that are added.

    Notes
    -----
    Memory: two bytes a dimension of each vector, and about 150 bytes a record.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._about: list[pl.DataFrame] = []
        self._vectors: list[NDArray[np.float16] | None] = []

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
        vectors = None if batch.embedding is None else batch.embedding.astype(np.float16)
        self._vectors.append(vectors)
        self.rows += len(batch)

    def batch(self, *, with_target: bool) -> tuple[ScoreBatch, NDArray[np.int64]]:
        """Return the records, those of the target last if wanted, and their survivor order.

        The order is that of a run: the longer text first, then by content, then by id.

        Raises
        ------
        ScoringError
            Vectors have different lengths.
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

    def _embedding(self, rows: NDArray[np.int64]) -> NDArray[Any] | None:
        parts = [v for v in self._vectors if v is not None]
        if len(parts) != len(self._vectors) or not parts:
            return None
        widths = {part.shape[1] for part in parts if part.any()}
        if len(widths) > 1:
            message = (
                f"--embedding: vectors have {sorted(widths)} numbers; "
                "those of the files and of --target must come from one embedder"
            )
            raise ScoringError(message)
        width = widths.pop() if widths else parts[0].shape[1]
        whole = np.zeros((sum(len(p) for p in parts), width), dtype=np.float16)
        start = 0
        for part in parts:
            if part.shape[1] == width:
                whole[start : start + len(part)] = part
            start += len(part)
        return whole[rows]


def _nothing() -> pl.DataFrame:
    names = ["id", "role", "label", "content"]
    schema = {**dict.fromkeys(names, pl.String), "length": pl.Int64}
    return pl.DataFrame(schema=schema).select("id", "role", "label", "length", "content")
