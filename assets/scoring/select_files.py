"""A selection from any files: candidates of their records, and the selected rows as they were."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from assets.deduplication.files import POSITION
from assets.ingestion.model import unique_names
from assets.ingestion.read import read
from assets.scoring.record_files import Columns, RecordFiles, UniqueIds, tag_lists
from assets.scoring.registry import describe
from assets.scoring.selectors.budget import Budget
from assets.scoring.selectors.protocol import Candidates, SelectionError
from assets.scoring.table_writer import TableWriter

OWN = ("id", "rank", "gain")
HELD_BYTES = 16
"""Bytes a number of a vector that is selected by: as read, stacked, those that are eligible, and on the grid."""


@dataclass(frozen=True, slots=True)
class Scores:
    """A table of scores.

    Attributes
    ----------
    frame
        With the column `id`.
    about
        From `written_metadata`; empty where the format holds none.
    path
        Where it was read, for errors.
    """

    frame: pl.DataFrame
    about: dict[str, Any]
    path: Path

    def __post_init__(self) -> None:
        if "id" not in self.frame.columns:
            message = f"--scores {self.path}: no column id; it has {', '.join(self.frame.columns)}"
            raise SelectionError(message)
        ids = self.frame["id"]
        if ids.n_unique() != len(ids) or ids.null_count():
            message = f"--scores {self.path}: an id is null or occurs twice"
            raise SelectionError(message)

    def numbers(self, column: str | None, default: str) -> str:
        """Return the name of a column of numbers: that given, else the default, else the only one."""
        numeric = [n for n, kind in self.frame.schema.items() if kind.is_numeric() and n != "id"]
        if column is not None:
            if column not in numeric:
                message = (
                    f"--column: {self.path} has no numbers in {column!r}; "
                    f"it has {', '.join(numeric) or 'none'}"
                )
                raise SelectionError(message)
            return column
        if default in numeric or len(numeric) == 1:
            return default if default in numeric else numeric[0]
        message = f"--column: say by which score of {self.path}: {', '.join(numeric) or 'none'}"
        raise SelectionError(message)

    def direction(self, column: str, given: str | None) -> str:
        """Tell which values of a score are better: as given, as noted with the scores, or by its name."""
        if given is not None:
            return given
        noted = self.about.get("scorers", {}).get(column, {}).get("direction")
        known = dict(describe().select("scorer", "direction").iter_rows())
        known |= {"quality": "high", "dsir_log_weight": "high"}
        found = noted or known.get(column)
        if found not in {"high", "low"}:
            message = f"--direction: is a high or a low {column} better? {self.path} does not say"
            raise SelectionError(message)
        return str(found)


@dataclass
class HeldVectors:
    """Sees to it that the vectors which a method holds stay within the memory.

    Parameters
    ----------
    method
        For the error.
    memory_bytes
        What the process may take.
    """

    method: str
    memory_bytes: int
    _rows: int = 0
    _bytes: int = 0

    def add(self, vectors: NDArray[np.float32]) -> None:
        """Count more vectors.

        Raises
        ------
        SelectionError
            They are too many; names the limit, the bytes and what to do.
        """
        self._rows += len(vectors)
        self._bytes += vectors.size * HELD_BYTES
        if self._bytes > self.memory_bytes:
            message = (
                f"--method {self.method} holds the vectors of all records: the first {self._rows:,}, of "
                f"{vectors.shape[1]:,} numbers, need {self._bytes:,} bytes ({HELD_BYTES} a number), and --memory is "
                f"{self.memory_bytes:,}; raise --memory, select by a score (top, gumbel, stratified_top) or at random "
                "first, or make shorter vectors (--dimensions)"
            )
            raise SelectionError(message)


def read_candidates(
    files: RecordFiles,
    budget: Budget,
    scores: Scores | None = None,
    column: str | None = None,
    stratum_of_scores: str | None = None,
    held: HeldVectors | None = None,
) -> tuple[Candidates, NDArray[np.int64]]:
    """Read what a selector and a budget need of the records of files.

    Parameters
    ----------
    files
        Their columns name the text where the budget counts it, the vectors, and the stratum where it
        is a column of theirs.
    budget
        Whose costs are told.
    scores, column
        A column of scores, joined by id: a value if it is of numbers, and a stratum where there is no other.
    stratum_of_scores
        A column of scores that says the stratum.
    held
        What vectors may take; without a bound where None.

    Returns
    -------
    candidates : Candidates
        In the order of the files.
    costs : numpy.ndarray
        int64, shape (n,), -1 where a record has nothing to count.

    Raises
    ------
    SelectionError
        The scores know none of the records, or the vectors of all need more memory than there may be.

    Notes
    -----
    Memory: about 150 bytes a record, and its vector as float32 (twice for a moment).
    """
    ids = [pl.Series("id", [], dtype=pl.String)]
    costs = [np.empty(0, dtype=np.int64)]
    vectors: list[NDArray[np.float32]] = []
    strata = [pl.Series("stratum", [], dtype=pl.String)]
    unique = UniqueIds(files.columns.id)
    tags = [pl.Series("tags", [], dtype=pl.List(pl.String))]
    for batch, rows in files.batches():
        unique.add(batch.ids)
        ids.append(batch.ids)
        if files.columns.tags:
            tags.append(tag_lists(rows, files.columns.tags))
        costs.append(budget.costs(batch.text, len(batch)))
        if batch.embedding is not None:
            vectors.append(batch.embedding)
            if held is not None:
                held.add(batch.embedding)
        if files.columns.stratum:
            strata.append(pl.Series("stratum", batch.group, dtype=pl.String))
    unique.check()
    everyone = pl.concat(ids)
    value, stratum = None, pl.concat(strata) if files.columns.stratum else None
    if scores is not None and column is not None:
        joined = _joined(everyone, scores, column)
        if joined.dtype.is_numeric():
            value = joined.cast(pl.Float64).fill_null(float("nan")).to_numpy()
        stratum = joined.cast(pl.String) if stratum is None else stratum
    if scores is not None and stratum_of_scores is not None:
        stratum = _joined(everyone, scores, stratum_of_scores).cast(pl.String)
    embedding = _stacked(vectors) if vectors else None
    labels = pl.concat(tags) if files.columns.tags else None
    return Candidates(everyone, value, stratum, embedding, tags=labels), np.concatenate(costs)


def _joined(ids: pl.Series, scores: Scores, column: str) -> pl.Series:
    table = scores.frame.select(pl.col("id").cast(pl.String), found=pl.col(column))
    held = ids.is_in(table["id"].implode())
    if len(ids) and not held.any():
        message = (
            f"--scores {scores.path} knows none of the records: its ids look like "
            f"{table['id'][0] if table.height else 'nothing'!r}, those of the files like {ids[0]!r}; "
            "name the files as they were named when they were scored, or give --id"
        )
        raise SelectionError(message)
    return ids.to_frame("id").join(table, on="id", how="left", maintain_order="left")["found"]


def _stacked(parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    widths = [part.shape[1] for part in parts if part.any()]
    width = (
        widths[0] if widths else parts[0].shape[1]
    )  # a batch without vectors has none to tell by
    zeros = [p if p.shape[1] == width else np.zeros((len(p), width), np.float32) for p in parts]
    return np.concatenate(zeros)


def has_column(files: RecordFiles, column: str) -> bool:
    """Tell whether every file has a column."""
    return all(column in read(source).schema.names for source in files.sources)


def write_selected(files: RecordFiles, chosen: pl.DataFrame, out: Path) -> int:
    """Write the selected rows in the order of the files: id, rank, gain, then their own columns.

    Parameters
    ----------
    files
        Read once more; a column that some of them lack is null there.
    chosen
        id, rank and gain, from `selection_frame`.
    out
        Its ending says the format.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    SelectionError
        The files' columns cannot be of one table, or a file changed while it was read.
    """
    schema = _one_schema(files)
    kept = [name for name in schema.names if name not in {POSITION, files.columns.id}]
    renamed, _ = unique_names([*OWN, *kept])
    ids_only = RecordFiles(files.sources, Columns(id=files.columns.id))
    with TableWriter(out) as writer:
        empty = pl.DataFrame(schema.empty_table().select(kept))
        writer.write(_with_own(chosen.clear(), empty, renamed))
        for batch, rows in ids_only.batches():
            places = batch.ids.to_frame("id").with_row_index("row")
            found = places.join(chosen, on="id", how="inner", maintain_order="left")
            if not found.height:
                continue
            own = pa.Table.from_batches([rows.take(pa.array(found["row"].to_numpy()))])
            columns = [
                own.column(n).cast(schema.field(n).type)
                if n in own.column_names
                else pa.nulls(own.num_rows, schema.field(n).type)
                for n in kept
            ]
            frame = pl.DataFrame(pa.table(columns, names=kept))
            writer.write(_with_own(found.select(OWN), frame, renamed))
        if writer.rows != chosen.height:
            message = "a file changed while it was read; run again"
            raise SelectionError(message)
    return writer.rows


def _with_own(own: pl.DataFrame, columns: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    return pl.DataFrame(
        [s.alias(n) for s, n in zip([*own, *columns], names, strict=True)],
    )


def _one_schema(files: RecordFiles) -> pa.Schema:
    schemas = [read(source).schema.remove_metadata() for source in files.sources]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive")
    except pa.ArrowTypeError as error:
        message = f"the files' columns are not of one type ({error}); select from each apart"
        raise SelectionError(message) from error
