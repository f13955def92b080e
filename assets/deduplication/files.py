"""Duplicates of any files with a text column, without a lake or a recipe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from assets.deduplication.clusters import component_clusters, component_report, star_clusters
from assets.deduplication.errors import DeduplicationError
from assets.deduplication.near import NearDuplicates, NearPairs
from assets.ingestion.discover import discover, format_of
from assets.ingestion.model import FileInfo, ReadOptions, Source
from assets.ingestion.read import read
from assets.kernels.identity import content_ids
from resources.retired import read_tombstone, tombstone_of

POSITION = "sluice_position"
MODES = ("star", "components")


class FileColumnError(DeduplicationError):
    """A file lacks the named column, cannot be read, or repeats an id."""


@dataclass(frozen=True)
class FileDuplicates:
    """Clusters of the records of some files.

    `clusters`: id, cluster, keeper, similarity; `near`: pairs and equal sets by id; `report`: the
    largest components; `records` read; `rejected` set aside by the reader.
    """

    clusters: pl.DataFrame
    near: NearPairs
    report: pl.DataFrame
    records: int
    rejected: int

    def pairs(self, *, limit: int = 50_000_000) -> pl.DataFrame:
        """Return id1, id2, similarity of every pair, id1 < id2; see `NearPairs.expanded`."""
        return self.near.expanded(limit=limit).rename({"left": "id1", "right": "id2"})


def file_source(path: Path, name: str | None = None) -> list[Source]:
    """Return what a path given on the command line holds: a file, a Delta table, or a folder.

    Raises
    ------
    FileColumnError
        The path does not exist, is retired, or is of no known format.
    """
    stone = tombstone_of(path.resolve())
    if stone.exists():
        message = f"{path}: {read_tombstone(stone).reason}"
        raise FileColumnError(message)
    if path.is_dir():
        found = [*discover(path).sources]
        if not found:
            message = f"{path} holds no table that can be read; name files of a known format"
            raise FileColumnError(message)
        return found
    kind, compression, suffix = format_of(path.name)
    if kind is None or not path.is_file():
        message = f"{path} is no file of a known format (its name ends in {suffix!r})"
        raise FileColumnError(message)
    status = path.stat()
    info = FileInfo(path, name or str(path), status.st_size, status.st_mtime_ns)
    return [Source(name or str(path), path, kind, compression, (info,))]


def duplicates_of_files(
    sources: Sequence[Source],
    text: str,
    similarity: float,
    shingle: str = "word:5",
    *,
    id_column: str | None = None,
    mode: str = "star",
    exhaustive: bool = False,
    workers: int | None = None,
    options: ReadOptions | None = None,
) -> FileDuplicates:
    """Cluster the records of files by near duplicates of a text column.

    Parameters
    ----------
    sources
        From `file_source`; their order has no influence.
    text
        The column with the text.
    similarity, shingle, exhaustive, workers
        As for `NearDuplicates`.
    id_column
        A column that identifies records over all files; None: `table#position`, counted from 0.
    mode
        `star` (default) or `components`.
    options
        How to read the files.

    Returns
    -------
    FileDuplicates
        The longest text of a cluster is kept; then the content's hash decides, then the id.
        Memory: about 300 bytes a record and the budget of `NearDuplicates`; files are read twice.

    Raises
    ------
    FileColumnError
        A column is missing, a file breaks off, or an id is null or occurs twice.
    """
    if mode not in MODES:
        message = f"mode {mode!r} is not known; choose one of {', '.join(MODES)}"
        raise FileColumnError(message)
    near = NearDuplicates(similarity, shingle, exhaustive=exhaustive, workers=workers)
    parts: list[pl.DataFrame] = []
    rejected = 0
    for source in sources:
        stream = read(source, options)
        for batch in stream:
            texts, ids = _columns(source, batch, text, id_column)
            keys = pa.array(content_ids("text", texts), pa.string())
            frame = pl.DataFrame({"id": ids, "key": keys, "text": texts}).with_columns(
                length=-pl.col("text").str.len_chars().cast(pl.Int64)
            )
            parts.append(frame.drop("text").filter(pl.col("key").is_not_null()))
            some = keys.is_valid()
            near.add(texts.filter(some), keys.filter(some))
        rejected += len(stream.rejects)
        if stream.error is not None:
            message = f"{source.path}: reading stopped: {stream.error}"
            raise FileColumnError(message)
    schema = pl.Schema({"id": pl.String, "key": pl.String, "length": pl.Int64})
    records = pl.concat([pl.DataFrame(schema=schema), *(part.cast(schema) for part in parts)])
    if records["id"].null_count() or records["id"].n_unique() != records.height:
        again = records.filter(pl.col("id").is_duplicated() | pl.col("id").is_null())["id"][0]
        message = f"column {id_column!r}: id {again!r} is null or occurs twice; name another column"
        raise FileColumnError(message)

    def read_again() -> Iterator[tuple[Any, Any]]:
        for source in sources:
            for batch in read(source, options):
                texts, _ = _columns(source, batch, text, None)
                keys = pa.array(content_ids("text", texts), pa.string())
                yield keys.filter(keys.is_valid()), texts.filter(keys.is_valid())

    order = records.group_by("key").agg(pl.col("length").first())
    found = near.collapsed(read_again, order)
    by_id, all_twins = _by_id(found, records, near.shingled_keys())
    rank = records.select(pl.col("id").alias("key"), "length", content="key")
    cluster = star_clusters if mode == "star" else component_clusters
    clusters = cluster(by_id.pairs, rank, all_twins).rename({"key": "id"})
    report = component_report(by_id.pairs, all_twins)
    return FileDuplicates(clusters, by_id, report, records.height, rejected)


def _by_id(
    found: NearPairs, records: pl.DataFrame, shingled: pl.Series
) -> tuple[NearPairs, pl.DataFrame]:
    """Say for ids what was found for contents; also the twins with texts that have no shingle."""
    grouped = (
        records.join(found.twins, on="key", how="left")
        .with_columns(group=pl.coalesce("representative", "key"))
        .with_columns(lead=pl.col("id").min().over("group"), members=pl.len().over("group"))
    )
    leads = grouped.select("group", "lead").unique()
    twins = grouped.filter(pl.col("members") > 1)
    near_twins = twins.filter(pl.col("key").is_in(shingled.implode()))
    pairs = (
        found.pairs.join(leads, left_on="left", right_on="group")
        .join(leads, left_on="right", right_on="group", suffix="_right")
        .select(
            left=pl.min_horizontal("lead", "lead_right"),
            right=pl.max_horizontal("lead", "lead_right"),
            similarity="similarity",
        )
        .sort("left", "right")
    )
    columns = [pl.col("id").alias("key"), pl.col("lead").alias("representative")]
    result = NearPairs(
        pairs,
        near_twins.select(columns).sort("key"),
        found.candidates,
        found.large_buckets,
        found.expected_miss,
    )
    return result, twins.select(columns).sort("key")


def _columns(
    source: Source, batch: pa.RecordBatch, text: str, id_column: str | None
) -> tuple[pa.Array, pl.Series]:
    for column in (text, id_column):
        if column is not None and column not in batch.schema.names:
            names = [name for name in batch.schema.names if name != POSITION]
            message = f"{source.path} has no column {column!r}; it has {', '.join(names[:20])}"
            raise FileColumnError(message)
    try:
        texts = batch.column(text).cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        message = f"{source.path}: column {text!r} is no text but {batch.column(text).type}"
        raise FileColumnError(message) from error
    if id_column is not None:
        return texts, pl.Series("id", batch.column(id_column).cast(pa.string()))
    position = pl.Series("id", batch.column(POSITION)).cast(pl.String).to_frame()
    return texts, position.select(id=pl.lit(f"{source.table}#") + pl.col("id"))["id"]
