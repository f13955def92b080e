"""Read a pinned release and feed it to torch, honouring `passes` and `weight`, reproducibly.

Copy this file into a trainer: it needs numpy, torch, polars and deltalake, and nothing of Sluice.

* Each record is shown exactly `passes` times an epoch, its k-th showing somewhere in the k-th of
  `passes` equal stretches of the epoch, so that repeats are spread evenly. Where in its stretch is
  a hash of record id, seed, epoch and k.
* So the order depends on what the release holds, not on the order of files or rows, and not on the
  number of workers.
* The sampler runs in the main process and workers fetch what they are told: they can't show a row
  twice.
* All rows are held in memory as Arrow columns (about the size of the text). For releases larger
  than memory, shard by `record_id`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch.utils.data import Dataset, Sampler

_COLUMNS = ("record_id", "text", "features", "label", "passes", "weight", "table")


class ReleaseError(ValueError):
    """The output root holds no such release, or it can't be read."""


@dataclass(frozen=True)
class Release:
    """One release: its number and the Delta version of each table that belongs to it."""

    root: Path
    number: int
    versions: dict[str, int]

    def read(self, table: str) -> pl.DataFrame:
        """Read a table at the version that this release promises.

        Raises
        ------
        ReleaseError
            When the release does not name the table.
        """
        if table not in self.versions:
            known = ", ".join(sorted(self.versions))
            message = f"release {self.number} of {self.root} has no {table}; it has {known}"
            raise ReleaseError(message)
        return pl.read_delta(str(self.root / table), version=self.versions[table])


def open_release(root: Path, number: int | None = None) -> Release:
    """Open a release of a recipe's output root, the last one by default.

    Raises
    ------
    ReleaseError
        When there is no release table, or no release of that number; the message lists those that
        exist.
    """
    folder = root / "publication" / "releases"
    if not (folder / "_delta_log").is_dir():
        message = f"{folder} is no Delta table; run `sluice run RECIPE`, or name its output"
        raise ReleaseError(message)
    releases = pl.read_delta(str(folder)).sort("release")
    known = [int(value) for value in releases["release"]]
    if not known or (number is not None and number not in known):
        message = (
            f"{root} has no release {'yet' if number is None else number}; it has {known or 'none'}"
        )
        raise ReleaseError(message)
    number = known[-1] if number is None else number
    versions: dict[str, Any] = json.loads(
        releases.filter(pl.col("release") == number)["versions"].item()
    )
    return Release(root, number, {str(table): int(version) for table, version in versions.items()})


class PassesSampler(Sampler[int]):
    """Yield each row's index `passes` times an epoch, spread evenly; ids and seed decide the order.

    Parameters
    ----------
    record_ids
        (N,) distinct ids of 32 hex digits.
    passes
        (N,) integers >= 0: how often the row is shown an epoch.
    seed
        Another seed, another order; the counts stay.
    rank, world_size
        For training on several devices: this one takes every `world_size`-th showing, from `rank`.
        Together the ranks show the epoch exactly once; their lengths differ by at most one.

    Raises
    ------
    ReleaseError
        For lengths that differ, negative passes, ids that repeat or are no hex, or a rank that is
        not below `world_size`.

    Notes
    -----
    Set `epoch` with `set_epoch` before each epoch. Cost: a sort of sum(passes) numbers an epoch, 24
    bytes each.
    """

    def __init__(
        self,
        record_ids: list[str],
        passes: np.ndarray,
        *,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        counts = np.asarray(passes)
        if counts.shape != (len(record_ids),) or (
            counts.size and (counts.dtype.kind not in "iu" or counts.min() < 0)
        ):
            message = (
                f"passes must be {len(record_ids)} integers >= 0, one a record; "
                f"it is {counts.dtype} of shape {counts.shape}"
            )
            raise ReleaseError(message)
        if not 0 <= rank < world_size:
            message = f"rank is {rank}, world_size {world_size}; ranks count from 0"
            raise ReleaseError(message)
        self._keys = _keys(record_ids)
        self._passes = counts.astype(np.int64)
        self._seed, self._rank, self._world_size, self._epoch = seed, rank, world_size, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration shows."""
        self._epoch = epoch

    def order(self) -> np.ndarray:
        """Return the indices of this rank's showings in this epoch, int64."""
        index = np.repeat(np.arange(len(self._passes)), self._passes)
        first = np.cumsum(self._passes) - self._passes
        showing = np.arange(len(index)) - first[index]
        salt = _mix(np.array([self._seed & 0xFFFFFFFFFFFFFFFF, self._epoch], dtype=np.uint64))
        salted = _mix(self._keys[index] ^ salt[0]) ^ _mix(salt[1:] + showing.astype(np.uint64))
        draw = _mix(salted)
        # k-th showing: in [k, k + 1) / passes of the epoch
        place = (showing + (draw >> np.uint64(11)).astype(np.float64) * 2.0**-53) / self._passes[
            index
        ]
        return index[np.lexsort((self._keys[index], draw, place))][self._rank :: self._world_size]

    def __iter__(self) -> Iterator[int]:
        return iter(self.order().tolist())

    def __len__(self) -> int:
        total = int(self._passes.sum())
        return (total - self._rank + self._world_size - 1) // self._world_size


class ByteDataset(Dataset[dict[str, torch.Tensor]]):
    """The text of records as bytes, with their loss weights.

    An item has `bytes`, (length + 1,) int64: 256 starts a text, 257 pads. A longer text is cut to
    `length` bytes; which part is taken depends on the record id, so that a text is not known by its
    beginning alone. And `weight`, () float32, and `index`, () int64.
    """

    def __init__(self, frame: pl.DataFrame, *, length: int = 256) -> None:
        self._text = frame["text"].to_arrow()
        weight = (
            frame["weight"]
            if "weight" in frame.columns
            else pl.Series([1.0] * frame.height, dtype=pl.Float64)
        )
        self._weight = weight.fill_null(1.0).to_numpy().astype(np.float32)
        self._keys = _keys(frame["record_id"].to_list())
        self._length = length

    def __len__(self) -> int:
        return len(self._weight)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        data = str(self._text[index].as_py()).encode()
        start = int(self._keys[index] % np.uint64(max(1, len(data) - self._length + 1)))
        piece = data[start : start + self._length]
        row = np.full(self._length + 1, 257, dtype=np.int64)
        row[0] = 256
        row[1 : len(piece) + 1] = np.frombuffer(piece, dtype=np.uint8)
        return {
            "bytes": torch.from_numpy(row),
            "weight": torch.tensor(self._weight[index]),
            "index": torch.tensor(index),
        }


def text_rows(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows that have text."""
    return frame.filter(pl.col("text").is_not_null() & (pl.col("text").str.len_bytes() > 0))


def feature_rows(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows that have features and a label."""
    wanted = [column for column in _COLUMNS if column in frame.columns]
    if "features" not in frame.columns or "label" not in frame.columns:
        return frame.select(wanted).clear()
    return frame.select(wanted).filter(
        pl.col("features").list.len() > 0, pl.col("label").is_not_null()
    )


def _keys(record_ids: list[str]) -> np.ndarray:
    """Fold ids of 32 hex digits into (N,) uint64; they are hashes already."""
    try:
        raw = (
            np.frombuffer(bytes.fromhex("".join(record_ids)), dtype=">u8")
            .astype(np.uint64)
            .reshape(-1, 2)
        )
    except ValueError as error:
        message = "record ids must be 32 hex digits each, as publication writes them"
        raise ReleaseError(message) from error
    if len(raw) != len(record_ids) or any(len(identity) != 32 for identity in record_ids):
        message = "record ids must be 32 hex digits each, as publication writes them"
        raise ReleaseError(message)
    if len(set(record_ids)) != len(record_ids):
        message = "a record id repeats; read one version of the table, not its history"
        raise ReleaseError(message)
    return np.asarray(raw[:, 0] ^ raw[:, 1])


def _mix(value: np.ndarray) -> np.ndarray:
    """Mix 64 bits: every input bit reaches every output bit (splitmix64; Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        value = value + np.uint64(0x9E3779B97F4A7C15)
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(value ^ (value >> np.uint64(31)))
