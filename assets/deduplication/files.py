"""Duplicates of any files with a text column, without a lake or a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from assets.deduplication.clusters import component_clusters, component_report, star_clusters
from assets.deduplication.file_texts import POSITION, FileColumnError, FileTexts
from assets.deduplication.near import NearDuplicates, NearPairs
from assets.deduplication.survivor_order import DEFAULT_ORDER, order_columns, wanted_columns
from assets.deduplication.text_containment import ContainedTexts
from assets.ingestion.discover import discover
from assets.ingestion.file_kinds import format_of
from assets.ingestion.model import FileInfo, ReadOptions, Source
from resources.retired import read_tombstone, tombstone_of

MODES = ("star", "components")


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
    measure: str = "jaccard",
    normalise: str = "none",
    order: Sequence[str] = DEFAULT_ORDER,
    exhaustive: bool = False,
    workers: int | None = None,
    options: ReadOptions | None = None,
) -> FileDuplicates:
    """Cluster the records of files by near duplicates of a text column.

    Parameters
    ----------
    sources
        From `file_source`; their order has no influence unless `order` names `source`.
    text
        The column with the text.
    similarity, shingle, exhaustive, workers
        As for `NearDuplicates`.
    id_column
        A column that identifies records over all files; None: `table#position`, counted from 0.
    mode
        `star` (default) or `components`.
    measure
        `jaccard`, or `containment`: what a text shares with another as a share of the smaller set; the
        larger is then always the one that is kept.
    normalise
        What counts as the same text (see `normalise`); shingles are those of the normalised text.
    order
        Which record of a cluster is kept (see `survivor_order`); the content's hash ends ties, then the id.
    options
        How to read the files.

    Returns
    -------
    FileDuplicates
        Memory: about 300 bytes a record (500 for one with a twin) and the budget of `NearDuplicates`; files
        are read twice.

    Raises
    ------
    FileColumnError
        A column is missing, a file breaks off, or an id is null or occurs twice.
    """
    if mode not in MODES:
        message = f"mode {mode!r} is not known; choose one of {', '.join(MODES)}"
        raise FileColumnError(message)
    texts = FileTexts(sources, text, id_column, normalise, options)
    named = wanted_columns(order)
    finder: NearDuplicates | ContainedTexts
    if measure == "containment":
        finder = ContainedTexts(similarity, shingle, workers=workers)
    else:
        finder = NearDuplicates(similarity, shingle, exhaustive=exhaustive, workers=workers)
    schema = {"id": pl.String, "key": pl.String, "length": pl.Int64, "source": pl.Int64}
    parts = [pl.DataFrame(schema={**schema, **dict.fromkeys(named, pl.String)})]
    for frame, values, rows, place in texts.with_rows(named):
        parts.append(
            frame.with_columns(
                length=pl.Series(values, dtype=pl.String).str.len_chars().cast(pl.Int64),
                source=pl.lit(place, pl.Int64),
                **rows,
            )
        )
        finder.add(values, frame["key"].to_arrow())
    records = pl.concat(parts)
    texts.refuse_repeated(records["id"])
    ordered = order_columns(records, order)
    columns = ordered.columns
    records = records.select("id", "key").hstack(ordered)
    best = records.sort([*columns, "id"], nulls_last=True).unique("key", keep="first")
    found = finder.collapsed(texts.contents, best.select("key", *columns))
    by_id, all_twins = _by_id(found, records, finder.shingled_keys())
    rank = records.select(pl.col("id").alias("key"), *columns, content="key")
    contained = isinstance(finder, ContainedTexts)
    if isinstance(finder, ContainedTexts):
        sizes = finder.set_sizes().rename({"key": "content"})
        rank = rank.join(sizes, on="content", how="left", maintain_order="left")
        smallness = -pl.col("size").fill_null(0)
        rank = rank.select("key", smallness.alias("smallness"), *columns, "content")
    if mode == "star":
        clusters = star_clusters(by_id.pairs, rank, all_twins, earlier_only=contained)
    else:
        clusters = component_clusters(by_id.pairs, rank, all_twins)
    clusters = clusters.rename({"key": "id"})
    report = component_report(by_id.pairs, all_twins)
    return FileDuplicates(clusters, by_id, report, records.height, texts.rejected)


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


__all__ = ["POSITION", "FileColumnError", "FileDuplicates", "duplicates_of_files", "file_source"]
