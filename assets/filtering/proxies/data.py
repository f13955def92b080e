"""Hold the sampled records that proxy runs train on, and choose that sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from assets.kernels.keyed_random import hash64

if TYPE_CHECKING:
    from assets.filtering.proxies.vocabulary import Vocabulary

PURPOSE = "proxy sample"
Float32 = npt.NDArray[np.float32]


class ProxyError(ValueError):
    """Proxy data that do not fit together."""


@dataclass(frozen=True)
class ProxyData:
    """Hold one sampled record a row.

    Attributes
    ----------
    ids, content_ids
        record_id and content_id, strings of length n. Randomness is keyed by content_id.
    text
        Arrow strings or None; ``embedding``: float32 (n, d) or None; ``label``: strings (or None),
        or None.
    group
        One group value a record, or None. ``pool``: int (n,), 0 the best.
    held_out
        bool (n,): evaluated on, never trained on.
    vocabulary
        Codes of the text, trained on the records that are not held out; None: bytes.
    """

    ids: npt.NDArray[np.str_]
    content_ids: npt.NDArray[np.str_]
    text: pa.Array | None
    embedding: Float32 | None
    label: npt.NDArray[np.object_] | None
    group: npt.NDArray[np.object_] | None
    pool: npt.NDArray[np.int64]
    held_out: npt.NDArray[np.bool_]
    vocabulary: Vocabulary | None = None

    def __post_init__(self) -> None:
        """Check that all columns have one length."""
        count = len(self.ids)
        for name in ("content_ids", "text", "embedding", "label", "group", "pool", "held_out"):
            value = getattr(self, name)
            if value is not None and len(value) != count:
                message = (
                    f"proxy data: {name} has {len(value)} rows, ids has {count}; they must agree"
                )
                raise ProxyError(message)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def kind(self) -> str | None:
        """Return the proxy that applies: ``language_model``, ``head`` or None."""
        if self.text is not None and self.text.null_count < len(self):
            return "language_model"
        if self.embedding is not None and self.label is not None:
            return "head"
        return None

    def train_rows(self, *, pool: int | None = None, group: object = None) -> npt.NDArray[np.int64]:
        """Return rows that may be trained on, in the order in which nested sizes take them.

        The order is by a keyed hash of content_id: a smaller size is contained in a larger one,
        whatever the order of rows. Of records with equal content only the first id is taken.
        """
        keep = ~self.held_out
        if pool is not None:
            keep = keep & (self.pool == pool)
        if group is not None and self.group is not None:
            keep = keep & (self.group == group)
        keep &= self.usable()
        rows = np.flatnonzero(keep)
        if not rows.size:
            return rows
        hashes = hash64(self.content_ids[rows].tolist(), 0, "proxy order")
        rows = rows[np.lexsort((self.ids[rows], self.content_ids[rows], hashes))]
        _, first = np.unique(self.content_ids[rows], return_index=True)
        return np.asarray(rows[np.sort(first)], dtype=np.int64)

    def usable(self) -> npt.NDArray[np.bool_]:
        """Return which records the proxy can use: with text, or label and finite embedding."""
        if self.kind == "language_model" and self.text is not None:
            lengths = pl.Series(self.text).str.len_bytes().fill_null(0).to_numpy()
            return np.asarray(lengths > 0)
        if self.kind == "head" and self.embedding is not None and self.label is not None:
            labelled = np.array([value is not None for value in self.label], dtype=bool)
            return np.asarray(labelled & np.isfinite(self.embedding).all(axis=1))
        return np.zeros(len(self), dtype=bool)


def sample_for_proxies(
    narrow: pl.DataFrame,
    *,
    per_pool: int = 5000,
    per_group: int = 600,
    held_out_per_group: int = 200,
    held_out: int = 1500,
    seed: int = 0,
) -> pl.DataFrame:
    """Choose a bounded number of records for proxies by a hash of their content.

    Parameters
    ----------
    narrow
        Columns record_id, content_id, pool, held_out (bool); optional group.
    per_pool, per_group
        Training records taken from each pool and, on top, from each group.
    held_out, held_out_per_group
        The same for held-out records: in all, and from each group.
    seed
        Of the hash that chooses.

    Returns
    -------
    polars.DataFrame
        record_id of the chosen records, sorted; at most pools x per_pool + groups x (per_group +
        held_out_per_group) + held_out rows. The same for any order of rows; larger limits contain
        smaller.
    """
    missing = {"record_id", "content_id", "pool", "held_out"} - set(narrow.columns)
    if missing:
        message = f"sampling for proxies needs column {min(missing)!r}"
        raise ProxyError(message)
    keyed = narrow.with_columns(
        pl.Series("_hash", hash64(narrow["content_id"], seed, PURPOSE))
        if narrow.height
        else pl.lit(0, dtype=pl.UInt64).alias("_hash")
    ).sort("_hash", "content_id", "record_id")
    train, held = keyed.filter(~pl.col("held_out")), keyed.filter(pl.col("held_out"))
    parts = [train.group_by("pool", maintain_order=True).head(per_pool), held.head(held_out)]
    if "group" in narrow.columns:
        parts += [
            train.group_by("group", maintain_order=True).head(per_group),
            held.group_by("group", maintain_order=True).head(held_out_per_group),
        ]
    return pl.concat([part.select("record_id") for part in parts]).unique().sort("record_id")
