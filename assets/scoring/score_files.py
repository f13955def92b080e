"""Scores of any files, written row by row in the order of the input: one pass fits, the next scores."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from assets.kernels.freed_memory import give_back
from assets.scoring.combine import COMBINERS
from assets.scoring.lake_scores import SILENT, silent_column
from assets.scoring.protocol import (
    AnyScorer,
    Direction,
    Needs,
    ScoreBatch,
    ScoreColumn,
    ScoreContext,
    Scorer,
    ScorerState,
    ScoringError,
    Stateless,
    WholeScorer,
)
from assets.scoring.record_files import RecordFiles, UniqueIds
from assets.scoring.table_writer import TableWriter
from assets.scoring.whole_records import WholeRecords

QUALITY = "quality"
REMEDIES = {
    Needs.TEXT: "--text COL",
    Needs.FEATURES: "--features A,B,…",
    Needs.EMBEDDING: "--text COL, --features A,B,… or --embedding COL",
    Needs.LABEL: "--label COL",
    Needs.TARGET: "--target FILE",
    Needs.GROUP: "--group COL",
}
Report = Callable[[str, int], None]


@dataclass
class ColumnSummary:
    """One score column in figures: how many rows it has, why others lack it, and its range."""

    direction: Direction
    rows: int = 0
    least: float = math.inf
    largest: float = -math.inf
    total: float = 0.0
    silent: Counter[str] = field(default_factory=Counter)

    def add(self, column: ScoreColumn) -> None:
        """Take in the scores of a batch."""
        held = column.values[~np.isnan(column.values)]
        if len(held):
            self.least = min(self.least, float(held.min()))
            self.largest = max(self.largest, float(held.max()))
        self.total += float(held.sum())
        self.rows += len(held)
        self.silent += column.reason_counts()

    def told(self) -> dict[str, Any]:
        """Return JSON values; least, mean and largest are null where there is no score."""
        known = self.rows > 0
        return {
            "direction": self.direction,
            "rows": self.rows,
            "least": self.least if known else None,
            "mean": self.total / self.rows if known else None,
            "largest": self.largest if known else None,
            "silent": dict(sorted(self.silent.items())),
        }


@dataclass
class ScoreFiles:
    """Score the records of some files.

    Parameters
    ----------
    files, target
        What is scored, and what good records look like (or None).
    scorers
        By name, in the order of the columns.
    context
        Seed and device.
    combine
        The combiner of the column `quality`; no such column where None.
    report
        Called with what is done and how many rows are.
    memory_bytes, folder
        What the process may take, about; and where vectors lie that do not fit.

    Attributes
    ----------
    columns
        A summary a scorer, after `write`.
    facts
        What whole scorers say of their computation.
    warnings
        What a person should know of the fits.

    Raises
    ------
    ScoringError
        A scorer needs what is not given; it names the option.

    Notes
    -----
    Memory: a batch and the scorers' states (and 16 bytes a record where --id names a column); scorers
    that are not `row_local` hold the vectors of all records, in a scratch file where half of `memory_bytes`
    is too little. The files are read once or twice.
    """

    files: RecordFiles
    scorers: Mapping[str, AnyScorer]
    context: ScoreContext
    target: RecordFiles | None = None
    combine: str | None = None
    report: Report = lambda _message, _rows: None
    memory_bytes: int = 4_000_000_000
    folder: Path | None = None
    columns: dict[str, ColumnSummary] = field(default_factory=dict)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        available = self.files.columns.gives
        if self.target is not None:
            available |= Needs.TARGET
        for name, scorer in self.scorers.items():
            lacking = [REMEDIES[flag] for flag in scorer.needs & ~available]
            if lacking:
                message = f"--scorers {name} needs {' and '.join(lacking)}"
                raise ScoringError(message)
        self._local = {n: s for n, s in self.scorers.items() if isinstance(s, Scorer)}
        self._whole = {n: s for n, s in self.scorers.items() if isinstance(s, WholeScorer)}

    def write(self, out: Path) -> int:
        """Fit, score and write; returns the number of rows."""
        states, found = self._fit()
        self.warnings = [f"{n}: {told}" for n, s in states.items() for told in s.warnings]
        directions = {n: s.direction(states.get(n)) for n, s in self.scorers.items()}
        self.columns = {n: ColumnSummary(d) for n, d in directions.items()}
        about = self._about(states, directions)
        if self.combine is None:
            with TableWriter(out, about) as writer:
                for frame in self._scored(states, found):
                    writer.write(frame)
            return writer.rows
        combiner = COMBINERS[self.combine]()
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
            spill = Path(folder) / "scores.parquet"
            ranks = combiner.fit_ranks([], directions)
            with TableWriter(spill) as writer:
                for frame in self._scored(states, found):
                    writer.write(frame)
                    batch = combiner.fit_ranks([_values(frame, directions)], directions)
                    ranks = combiner.merge(ranks, batch)
            with TableWriter(out, about) as writer:
                for frame in _stored(spill):
                    quality = combiner.apply(_values(frame, directions), ranks)
                    combined = pl.Series(QUALITY, quality, nan_to_null=True)
                    writer.write(frame.insert_column(frame.get_column_index(SILENT), combined))
        return writer.rows

    def _fit(self) -> tuple[dict[str, ScorerState], dict[str, ScoreColumn]]:
        fitted = {n: s for n, s in self._local.items() if not isinstance(s, Stateless)}
        summaries = {n: s.summarise([], self.context) for n, s in self._local.items()}
        gathered = WholeRecords(self.folder, self.memory_bytes // 2)
        with_target = any(Needs.TARGET in s.needs for s in self._whole.values())
        if fitted or self._whole:
            targets = self.target.batches() if self.target is not None else ()
            rows = 0
            widths: dict[str, int] = {}
            for batch, _ in chain(self.files.batches(), targets):
                self._check_space(batch, widths)
                for name, scorer in fitted.items():
                    part = scorer.summarise([batch], self.context)
                    summaries[name] = scorer.merge(summaries[name], part)
                if self._whole and (with_target or batch.role != "target"):
                    gathered.add(batch)
                rows += len(batch)
                self.report("read to fit", rows)
        states = {}
        for name, scorer in self._local.items():
            states[name] = scorer.finish(summaries.pop(name), self.context)
            give_back()
        return states, {n: self._all(n, s, gathered) for n, s in self._whole.items()}

    def _check_space(self, batch: ScoreBatch, widths: dict[str, int]) -> None:
        """Refuse a target in another space than the files', where a scorer compares them; `widths` is by role."""
        both = [n for n, s in self.scorers.items() if Needs.TARGET | Needs.EMBEDDING in s.needs]
        if not both or batch.embedding is None or not batch.embedding.any():
            return
        widths[str(batch.role)] = batch.embedding.shape[1]
        if len(set(widths.values())) > 1:
            message = (
                f"--target: its vectors have {widths['target']} numbers and those of the files {widths['train']}; "
                f"{both[0]} compares them, so both must come from one embedder"
            )
            raise ScoringError(message)

    def _all(self, name: str, scorer: WholeScorer, gathered: WholeRecords) -> ScoreColumn:
        self.report(f"compute {name} of all records", gathered.rows)
        batch, rank = gathered.batch(with_target=Needs.TARGET in scorer.needs)
        column, self.facts[name] = scorer.score_all(batch, rank, self.context)
        return column

    def _scored(
        self, states: Mapping[str, ScorerState], found: Mapping[str, ScoreColumn]
    ) -> Iterator[pl.DataFrame]:
        """Yield id, the scores and why there is none; first a frame without rows."""
        unique = UniqueIds(self.files.columns.id)
        start = 0
        nothing = self.files.nothing()
        yield self._frame(nothing, states, {n: _part(c, 0, 0) for n, c in found.items()})
        for batch, _ in self.files.batches():
            unique.add(batch.ids)
            stop = start + len(batch)
            whole = {n: _part(c, start, stop) for n, c in found.items()}
            if any(len(c.values) != len(batch) for c in whole.values()):
                raise _changed()
            yield self._frame(batch, states, whole)
            start = stop
            self.report("score", stop)
        if any(len(c.values) < start for c in found.values()):
            raise _changed()
        unique.check()

    def _frame(
        self,
        batch: ScoreBatch,
        states: Mapping[str, ScorerState],
        whole: Mapping[str, ScoreColumn],
    ) -> pl.DataFrame:
        columns = {n: s.score(batch, states[n]) for n, s in self._local.items()} | dict(whole)
        scores = []
        for name in self.scorers:
            self.columns[name].add(columns[name])
            scores += columns[name].to_frame().get_columns()
        silent = silent_column({n: c.reasons for n, c in columns.items()}, len(batch))
        return pl.DataFrame([batch.ids.alias("id"), *scores, silent])

    def _about(
        self, states: Mapping[str, ScorerState], directions: Mapping[str, Direction]
    ) -> dict[str, Any]:
        scorers = {
            name: {
                "version": scorer.version,
                "direction": directions[name],
                "needs": [flag.name.lower() for flag in scorer.needs if flag.name],
                "state": states[name].digest() if name in states else None,
            }
            for name, scorer in self.scorers.items()
        }
        embedder = self.files.embedder
        space = embedder.embedder_id if embedder else self.files.columns.embedding
        return {"scorers": scorers, "seed": self.context.seed, "embedder": space}


def _values(frame: pl.DataFrame, names: Mapping[str, Any]) -> dict[str, NDArray[np.float64]]:
    return {n: frame[n].cast(pl.Float64).fill_null(math.nan).to_numpy() for n in names}


def _stored(path: Path) -> Iterator[pl.DataFrame]:
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            yield pl.DataFrame(file.read_row_group(group))


def _part(column: ScoreColumn, start: int, stop: int) -> ScoreColumn:
    extras = {n: v[start:stop] for n, v in column.extras.items()}
    values, reasons = column.values[start:stop], column.reasons[start:stop]
    return ScoreColumn(column.name, column.version, values, reasons, column.direction, extras)


def _changed() -> ScoringError:
    return ScoringError("a file changed while it was read; run again")
