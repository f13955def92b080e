"""Score a lake's records with given states: all of them, or those that the base release doesn't hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from assets.deduplication.cut_records import going_on, went_on
from assets.kernels.freed_memory import GiveBack, give_back
from assets.scoring.calibration import Calibration
from assets.scoring.hashed import from_stored
from assets.scoring.protocol import ScoreBatch, ScoreContext, Scorer, ScorerState
from assets.scoring.recipe_models import embedder
from assets.scoring.redundancy import (
    SEEK,
    Known,
    Redundancy,
    RedundancyScorer,
)
from assets.scoring.stored_scores import current
from assets.scoring.vector_store import Places, StoredRows, Vectors, VectorStore, usable_rows
from resources import delta
from resources.base import Base
from resources.recipe import Recipe
from resources.run import Run

FATES = "deduplication/fates"
EMBEDDINGS, SCORES = "scoring/embeddings", "scoring/scores"
BATCH = 8_192
BACK_BYTES = 64 << 20
LANGUAGE_GROUPS = ("language", "lang")
SILENT, NEAREST = "silent", "nearest"
ABOUT = ("record_id", "content_id", "rule", "held_out", "length")
LENGTH = pl.coalesce(pl.col("text").str.len_bytes().cast(pl.Int64), pl.col("tokens"))
BETWEEN, SAYS = " | ", ": "


def scored_records(run: Run) -> pl.LazyFrame:
    """Return the records that are scored: survivors and held-out ones, with `held_out`."""
    fates = run.scan(FATES).filter(pl.col("fate").is_null() | (pl.col("fate") == "held_out"))
    alive = fates.select("record_id", held_out=pl.col("fate").is_not_null())
    return going_on(run.scan).join(alive, on="record_id", how="inner")


def targets(run: Run) -> pl.LazyFrame:
    """Return the records that play the target's role."""
    return going_on(run.scan).filter(pl.col("role") == "target")


def cohort_group(recipe: Recipe) -> str | None:
    """Return the group that records are valued with: the allocation's, else the language, else none."""
    if recipe.allocation is not None:
        return recipe.allocation.by
    return next((g for g in LANGUAGE_GROUPS if g in recipe.group_names), None)


def column_of(table: pa.Table, name: str) -> pa.Array:
    """Return a column of a table as one array."""
    column = table.column(name)
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def silent_column(reasons: Mapping[str, pl.Series], rows: int) -> pl.Series:
    """Say for each row which scorers gave it nothing and why; null where all gave a value."""
    said = [
        pl.format(f"{name}{SAYS}{{}}", reasons[name]).alias(name)
        for name in sorted(reasons, key=lambda name: name + SAYS)
    ]
    if not said:
        return pl.Series(SILENT, [None] * rows, dtype=pl.String)
    joined = pl.concat_str(pl.all(), separator=BETWEEN, ignore_nulls=True)
    return pl.select(said).select(joined.replace("", None).alias(SILENT)).to_series()


def silent_of(scorers: Sequence[str]) -> pl.Expr:
    """Return what a `silent` column says of some scorers; null where that is nothing."""
    said = pl.element().str.split(SAYS).list.first().is_in(list(scorers))
    split = pl.col(SILENT).str.split(BETWEEN).list.eval(pl.element().filter(said))
    return split.list.join(BETWEEN).replace("", None).alias(SILENT)


def beside(scored: pl.DataFrame, more: pl.DataFrame) -> pl.DataFrame:
    """Put further scorers' columns, and what they say of silence, beside those of the same rows."""
    sides = [
        frame[SILENT].str.split(BETWEEN).alias(f"{i}") for i, frame in enumerate((scored, more))
    ]
    lists = [pl.col(side.name).fill_null(pl.lit([], pl.List(pl.String))) for side in sides]
    said = pl.DataFrame(sides).select(
        pl.concat_list(lists).list.sort().list.join(BETWEEN).replace("", None).alias(SILENT)
    )
    return scored.with_columns(*more.drop(SILENT).get_columns(), said[SILENT])


def known_neighbours(ids: pl.Series, same: pl.Series, nearest: pl.Series) -> Known:
    """Turn what an earlier search found into positions among the records of now.

    Parameters
    ----------
    ids
        n record ids, sorted.
    same
        Those of them whose earlier result counts.
    nearest
        n record ids: each one's nearest earlier record then, null where it had none.
    """
    held = ids.is_in(same.to_list()).to_numpy()
    place = pl.DataFrame({"nearest": ids, "at": np.arange(len(ids)), "held": held})
    found = pl.DataFrame({"nearest": nearest}).join(
        place.filter("held"), on="nearest", how="left", maintain_order="left"
    )
    at = found["at"].fill_null(SEEK).to_numpy().astype(np.int64)
    at[nearest.is_null().to_numpy()] = -1
    at[~held] = SEEK
    return Known(at, ~held)


def _with_redundancy(scored: pl.DataFrame, found: Redundancy) -> pl.DataFrame:
    at = pl.Series(np.where(found.neighbour < 0, 0, found.neighbour), dtype=pl.UInt32)
    nearest = pl.Series(NEAREST, scored["record_id"].gather(at), dtype=pl.String)
    none = pl.Series(found.neighbour < 0)
    return scored.with_columns(
        nearest.zip_with(~none, pl.Series([None], dtype=pl.String).new_from_index(0, len(none))),
        redundancy=pl.Series(found.values),
    )


def _without_redundancy(scored: pl.DataFrame) -> pl.DataFrame:
    return scored.with_columns(
        pl.lit(None, pl.String).alias(NEAREST), redundancy=pl.lit(float("nan"))
    )


class LakeScores:
    """The row-local scorers at work on one run's records."""

    def __init__(
        self,
        run: Run,
        scorers: Mapping[str, Scorer],
        context: ScoreContext,
        redundancy: RedundancyScorer | None = None,
    ) -> None:
        self.run = run
        self.scorers = scorers
        self.context = context
        self.redundancy = redundancy or RedundancyScorer()
        self.language = next((g for g in LANGUAGE_GROUPS if g in run.recipe.group_names), None)
        self.cohort = cohort_group(run.recipe)

    def fit(self, scorers: Mapping[str, Scorer]) -> dict[str, ScorerState]:
        """Fit scorers on the training records and the target."""
        if not scorers:
            return {}
        train = scored_records(self.run).filter(~pl.col("held_out")).drop("held_out")
        frame = pl.concat([train, targets(self.run)], how="vertical")
        summaries: dict[str, Any] = {}
        done = 0
        for batch, _ in self._batches(frame):
            for name, scorer in scorers.items():
                part = scorer.summarise([batch], self.context)
                summaries[name] = scorer.merge(summaries[name], part) if name in summaries else part
            done += len(batch)
            self.run.report("scoring", "fitting scorers", done, None)
        states = {}
        for name, scorer in scorers.items():
            summary = summaries.pop(name, None)
            if summary is None:
                summary = scorer.summarise([], self.context)
            states[name] = scorer.finish(summary, self.context)
            del summary  # a sample of vectors, which the next one's need not stand beside
            give_back()
        return states

    def complete(
        self, kept: Mapping[str, ScorerState], scored: pl.DataFrame | None = None
    ) -> tuple[dict[str, ScorerState], pl.DataFrame, dict[str, Any]]:
        """Fit what is not kept, and score every record with it.

        Parameters
        ----------
        kept
            States that stand.
        scored
            What `update` made of them; None where nothing is kept.

        Returns
        -------
        states
            All of them.
        scored
            One row a record, by record_id.
        about
            Facts of the redundancy search.
        """
        rest = {n: s for n, s in self.scorers.items() if n not in kept}
        fitted = self.fit(rest)
        states = {**kept, **fitted}
        if scored is None or rest:
            own = self._score(scored_records(self.run), fitted).sort("record_id")
            scored = own if scored is None else beside(scored, own.select(*rest, SILENT))
        scorer = self.redundancy
        if scorer.name in kept:
            return states, scored, {}
        vectors, rank = self._vectors(scored)
        if vectors is None:
            return states, _without_redundancy(scored), {}
        ids = scored["record_id"]
        cells = scorer.fit_vectors(vectors, ids, self.context)
        states[scorer.name] = scorer.to_state(cells)
        found = scorer.search_vectors(vectors, rank, ids, self.context, cells)
        return states, _with_redundancy(scored, found), found.about()

    def update(
        self, calibration: Calibration, base: Base
    ) -> tuple[pl.DataFrame, int, dict[str, Any]]:
        """Score the records that the base release doesn't hold, and keep what it says of the others.

        Parameters
        ----------
        calibration
            With the states that stand; scorers without one are left out.
        base
            Release whose scores are of that calibration.

        Returns
        -------
        scored
            One row a record, by record_id.
        fresh
            How many were scored.
        about
            Facts of the redundancy search.
        """
        everything = scored_records(self.run)
        states = {n: calibration.states[n] for n in self.scorers if n in calibration.states}
        known = self._known(base, list(states))
        keys = [n for n in known.columns if n not in {*states, SILENT, NEAREST}]
        narrow = everything.select(*dict.fromkeys([*ABOUT[:-1], *keys]), length=LENGTH)
        rows = narrow.collect(engine="streaming")
        same = rows.join(known, on=keys, how="inner", nulls_equal=True)
        new = rows.select("record_id").join(same, on="record_id", how="anti")
        chosen = everything.join(new.lazy(), on="record_id", how="semi")
        made = self._score(chosen, states)
        nothing = made.with_columns(pl.lit(None, pl.String).alias(NEAREST))
        scored = pl.concat([same.select(nothing.columns), nothing]).sort("record_id")
        scorer = self.redundancy
        state = calibration.states.get(scorer.name)
        vectors, rank = (None, None) if state is None else self._vectors(scored)
        if state is None or vectors is None or rank is None:
            return _without_redundancy(scored), made.height, {}
        earlier = known_neighbours(scored["record_id"], same["record_id"], scored[NEAREST])
        cells = scorer.from_state(state)
        ids = scored["record_id"]
        found = scorer.search_vectors(vectors, rank, ids, self.context, cells, earlier)
        return _with_redundancy(scored, found), made.height, found.about()

    def _known(self, base: Base, scorers: Sequence[str]) -> pl.DataFrame:
        """Return what the base release says of its records, with all that a score depends on."""
        records, scores = went_on(base), base.scan(SCORES)
        assert (
            records is not None
        )  # `kept_calibration` has found the stage's tables, so they stand too
        assert scores is not None
        keys = ["record_id", "content_id", "label", "rule"]
        held = records.collect_schema().names()
        keys += [g for g in dict.fromkeys([self.language, self.cohort]) if g in held]
        kept = current(scores).select("record_id", *scorers, silent_of(scorers), NEAREST)
        found = records.select(keys).join(kept, on="record_id")
        if base.output != self.run.output:  # only the calibration is taken from another output
            found = found.limit(0)
        return found.collect(engine="streaming")

    def train_columns(self, scored: pl.DataFrame) -> dict[str, NDArray[np.float64]]:
        """Return every score of the training records: float64, NaN where it does not apply."""
        train = scored.filter(~pl.col("held_out"))
        names = [n for n in (*self.scorers, self.redundancy.name) if n in train.columns]
        return {n: train[n].to_numpy() for n in names}

    def _vectors(self, scored: pl.DataFrame) -> tuple[Vectors | None, NDArray[np.int64]]:
        """Return the records' vectors (None where no record has one), and their places in the survivor order."""
        order = scored.with_row_index("row").sort(
            "rule", -pl.col("length"), "content_id", "record_id", nulls_last=True
        )
        rank = np.empty(scored.height, dtype=np.int64)
        rank[order["row"].to_numpy()] = np.arange(scored.height)
        store, places = self._stored
        rows = StoredRows(store, places.find(scored["content_id"]))
        vectors = rows[:] if store.in_memory else rows
        return (vectors if usable_rows(vectors).any() else None), rank

    @cached_property
    def _stored(self) -> tuple[VectorStore, Places]:
        """The vectors of all contents, and the place of each content among them."""
        model = embedder(self.run.recipe)
        memory = self.run.recipe.limits.memory_bytes // 2
        store = VectorStore(model.dim, self.run.scratch, memory)
        places = Places()
        freed = GiveBack(BACK_BYTES)
        version = self.run.committed(EMBEDDINGS).version
        for file in delta.files(self.run.uri(EMBEDDINGS), version):
            # a scan would hold several row groups, each of tens of megabytes
            with pq.ParquetFile(file) as rows:
                for part in rows.iter_batches(
                    BATCH, columns=["content_id", "embedder_id", "vector"]
                ):
                    own = part.filter(pc.equal(part.column("embedder_id"), model.embedder_id))
                    store.add(from_stored(own.column("vector"), model.dim))
                    places.add(pl.Series("content_id", own.column("content_id"), dtype=pl.String))
                    freed.add(own.num_rows * model.dim * 4)
        return store.close(), places.close()

    def _score(self, frame: pl.LazyFrame, states: Mapping[str, Any]) -> pl.DataFrame:
        """Score records: `ABOUT`, a column a state (NaN where it does not apply), `silent`."""
        scorers = {n: s for n, s in self.scorers.items() if n in states}
        parts: list[pl.DataFrame] = []
        done = 0
        for batch, rows in self._batches(frame):
            columns = {n: s.score(batch, states[n]) for n, s in scorers.items()}
            parts.append(
                rows.select(*ABOUT[:-1], length=LENGTH).with_columns(
                    *[pl.Series(n, c.values, dtype=pl.Float64) for n, c in columns.items()],
                    silent_column({n: c.reasons for n, c in columns.items()}, len(batch)),
                )
            )
            done += len(batch)
            self.run.report("scoring", "scoring records", done, None)
        return pl.concat(parts) if parts else self._nothing(list(scorers))

    def _nothing(self, names: Sequence[str]) -> pl.DataFrame:
        empty = scored_records(self.run).select(*ABOUT[:-1], length=LENGTH).limit(0).collect()
        scores = [pl.lit(None, pl.Float64).alias(name) for name in names]
        return empty.with_columns(*scores, pl.lit(None, pl.String).alias(SILENT))

    def _batches(self, frame: pl.LazyFrame) -> Iterator[tuple[ScoreBatch, pl.DataFrame]]:
        """Stream records with their vectors as score batches."""
        store, places = self._stored
        freed = GiveBack(BACK_BYTES)
        for batch in frame.collect_batches(chunk_size=BATCH):
            freed.add(batch.height * store.dim * 4)
            table = batch.to_arrow()
            yield (
                ScoreBatch(
                    batch["record_id"],
                    text=column_of(table, "text"),
                    features=column_of(table, "features"),
                    label=column_of(table, "label"),
                    embedding=store.gather(places.find(batch["content_id"])).astype(np.float32),
                    group=column_of(table, self.language) if self.language else None,
                    role=column_of(table, "role"),
                    cohort=column_of(table, self.cohort) if self.cohort else None,
                ),
                batch,
            )
