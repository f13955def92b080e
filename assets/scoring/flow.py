"""Score the records of a run: new ones by the kept calibration, or all of them by one that is fitted here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from assets.scoring.calibration import (
    RANKS,
    Calibration,
    contents_identity,
    drift_since,
    worst,
)
from assets.scoring.combine import Borda
from assets.scoring.hashed import HashedEmbedder, from_stored
from assets.scoring.protocol import Needs, ScoreBatch, ScoreContext, Scorer
from assets.scoring.redundancy import RedundancyScorer
from assets.scoring.registry import from_recipe, split_by_needs
from resources.base import Base
from resources.device import choose_device
from resources.errors import RecipeError
from resources.recipe import Recipe
from resources.run import Run, StageSpec

RECORDS, FATES = "deduplication/records", "deduplication/fates"
EMBEDDINGS, SCORES, CALIBRATION = "scoring/embeddings", "scoring/scores", "scoring/calibration"
BATCH = 20_000
LANGUAGE_GROUPS = ("language", "lang")
SILENT = "silent"
_BETWEEN = " | "


@dataclass(frozen=True)
class Scored:
    """The scores of a lake.

    Attributes
    ----------
    frame
        One row a record, by record_id: a column a scorer, `quality`, `calibration`, `silent`.
    calibration
        What they were made with.
    left_out
        Scorers that can't run here, with the reason.
    fresh
        Records that were scored in this run; the others kept the score of the base release.
    about
        Facts of the search for semantic redundancy.
    """

    frame: pl.DataFrame
    calibration: Calibration
    left_out: Mapping[str, str]
    fresh: int
    about: Mapping[str, Any]


def scored_records(run: Run) -> pl.LazyFrame:
    """Return the records that are scored: survivors and held-out ones, with `held_out`."""
    fates = run.scan(FATES).filter(pl.col("fate").is_null() | (pl.col("fate") == "held_out"))
    alive = fates.select("record_id", held_out=pl.col("fate").is_not_null())
    return run.scan(RECORDS).join(alive, on="record_id", how="inner")


def targets(run: Run) -> pl.LazyFrame:
    """Return the records that play the target's role."""
    return run.scan(RECORDS).filter(pl.col("role") == "target")


def embedder(recipe: Recipe) -> HashedEmbedder:
    """Make the recipe's embedder."""
    if recipe.scoring.embedder != "hashed":
        message = f"scoring.embedder: {recipe.scoring.embedder!r} is not known; use hashed"
        raise RecipeError(message)
    return HashedEmbedder(recipe.scoring.dimensions)


def column_of(table: pa.Table, name: str) -> pa.Array:
    """Return a column of a table as one array."""
    column = table.column(name)
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def score_lake(run: Run, spec: StageSpec) -> Scored:
    """Score every surviving and held-out record.

    The calibration of the base release is kept while the stage's code and settings and the target's contents are the
    same and no combined score has drifted by more than `recalibrate_at`; then only records that the base release
    doesn't hold are scored. Semantic redundancy depends on the other records and is always computed whole.
    """
    recipe = run.recipe
    target = contents_identity(targets(run).select("content_id").collect()["content_id"])
    has_target = bool(targets(run).select(pl.len()).collect().item())
    available = ~Needs.NONE if has_target else ~Needs.TARGET
    active, left_out = split_by_needs(from_recipe(recipe.scoring.scorers), available)
    if not active:
        message = f"scoring.scorers: none can run here ({left_out}); name one that needs less"
        raise RecipeError(message)
    context = ScoreContext(seed=recipe.seed, device=choose_device(recipe.limits.device))
    scoring = _Scoring(run, {n: s for n, s in active.items() if isinstance(s, Scorer)}, context)
    base, reason = _kept(run, spec, target)
    calibration: Calibration | None = None
    if base is not None:
        calibration = _read_calibration(base)
        scored, fresh = scoring.update(calibration.states, base)
    else:
        states = scoring.fit()
        scored, fresh = scoring.score(states, None)
    redundancy, about = _redundancy(run, scored, context)
    columns = {n: scored[n].to_numpy() for n in scoring.scorers}
    columns["redundancy"] = redundancy
    train = ~scored["held_out"].to_numpy()
    if calibration is not None:
        drift = drift_since(calibration.ranks, {n: c[train] for n, c in columns.items()})
        name, far = worst(drift)
        if far > recipe.recalibrate_at:
            reason = f"{name} has drifted by {far:.3f}, more than {recipe.recalibrate_at:g}"
            states = scoring.fit()
            scored, fresh = scoring.score(states, None)
            columns |= {n: scored[n].to_numpy() for n in scoring.scorers}
            calibration = None
        else:
            calibration = replace(calibration, drift=drift)
    if calibration is None:
        directions = {n: s.direction(states.get(n)) for n, s in active.items()}
        ranks = Borda().fit_ranks([{n: columns[n][train] for n in directions}], directions)
        calibration = Calibration({**states, RANKS: ranks}, target, reason)
    combined = calibration.ranks.meta["directions"]
    quality = Borda().apply({n: columns[n] for n in combined}, calibration.ranks)
    frame = pl.DataFrame(
        {
            "record_id": scored["record_id"],
            **{name: pl.Series(values) for name, values in sorted(columns.items())},
            "quality": pl.Series(quality),
        }
    ).with_columns(
        pl.selectors.float().fill_nan(None),
        scored[SILENT],
        calibration=pl.lit(calibration.identity),
    )
    return Scored(frame, calibration, left_out, fresh, about)


def _silent(reasons: Mapping[str, pl.Series], rows: int) -> pl.Series:
    """Say for each row which scorers gave it nothing and why; null where all gave a value."""
    said = [
        pl.format(name + ": {}", reason).alias(name) for name, reason in sorted(reasons.items())
    ]
    if not said:
        return pl.Series(SILENT, [None] * rows, dtype=pl.String)
    joined = pl.concat_str(pl.all(), separator=_BETWEEN, ignore_nulls=True)
    return pl.select(said).select(joined.replace("", None).alias(SILENT)).to_series()


def silence_counts(frame: pl.DataFrame) -> list[tuple[str, str, int]]:
    """Count (scorer, reason) over the `silent` column of scores, sorted."""
    counted = (
        frame.select(pl.col(SILENT).drop_nulls().str.split(_BETWEEN).explode())
        .group_by(SILENT)
        .len()
        .sort(SILENT)
    )
    return [(*entry.split(": ", 1), rows) for entry, rows in counted.iter_rows()]


def _kept(run: Run, spec: StageSpec, target: str) -> tuple[Base | None, str]:
    """Return the base release if its calibration may be kept, else why a new one is fitted."""
    base, reason = run.kept_calibration(spec)
    if base is not None and _read_calibration(base).target != target:
        return None, "the target has changed"
    return base, reason


def _read_calibration(base: Base) -> Calibration:
    frame = base.scan(CALIBRATION)
    assert frame is not None  # `kept_settings` has found the stage's tables
    return Calibration.from_frame(frame.collect())


def _redundancy(
    run: Run, scored: pl.DataFrame, context: ScoreContext
) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """Search all records' vectors for the nearest earlier one, in the survivor order."""
    order = scored.with_row_index("row").sort(
        "rule", -pl.col("length"), "content_id", "record_id", nulls_last=True
    )
    rank = np.empty(scored.height, dtype=np.int64)
    rank[order["row"].to_numpy()] = np.arange(scored.height)
    dim = run.recipe.scoring.dimensions
    space = embedder(run.recipe).embedder_id
    stored = (
        run.scan(EMBEDDINGS)
        .filter(pl.col("embedder_id") == space)
        .select("content_id", "vector")
        .join(scored.lazy().select("content_id").unique(), on="content_id", how="semi")
        .collect(engine="streaming")
    )
    vectors = scored.select("content_id").join(stored, on="content_id", how="left")["vector"]
    batch = ScoreBatch(scored["record_id"], embedding=from_stored(vectors.to_arrow(), dim))
    column, about = RedundancyScorer().score_all(batch, rank, context)
    return column.values, about


class _Scoring:
    """The row-local scorers at work on one run's records."""

    def __init__(self, run: Run, scorers: Mapping[str, Scorer], context: ScoreContext) -> None:
        self.run = run
        self.scorers = scorers
        self.context = context
        self.language = next((g for g in LANGUAGE_GROUPS if g in run.recipe.group_names), None)

    def fit(self) -> dict[str, Any]:
        """Fit every scorer on the training records and the target."""
        train = scored_records(self.run).filter(~pl.col("held_out")).drop("held_out")
        frame = pl.concat([train, targets(self.run)], how="vertical")
        summaries: dict[str, Any] = {}
        done = 0
        for batch, _ in self._batches(frame):
            for name, scorer in self.scorers.items():
                part = scorer.summarise([batch], self.context)
                summaries[name] = scorer.merge(summaries[name], part) if name in summaries else part
            done += len(batch)
            self.run.report("scoring", "fitting scorers", done, None)
        return {
            name: scorer.finish(
                summaries[name] if name in summaries else scorer.summarise([], self.context),
                self.context,
            )
            for name, scorer in self.scorers.items()
        }

    def update(self, states: Mapping[str, Any], base: Base) -> tuple[pl.DataFrame, int]:
        """Score the records that the base release doesn't hold, and keep the scores of the others."""
        keys = ["record_id", "content_id", "label", *([self.language] if self.language else [])]
        records, scores = base.scan(RECORDS), base.scan(SCORES)
        if records is None or scores is None or not {*keys} <= {*records.collect_schema().names()}:
            return self.score(states, None)
        kept = scores.select("record_id", *self.scorers, SILENT)
        known = records.select(keys).join(kept, on="record_id").collect(engine="streaming")
        return self.score(states, known)

    def score(
        self, states: Mapping[str, Any], known: pl.DataFrame | None
    ) -> tuple[pl.DataFrame, int]:
        """Score all records but the known ones.

        Returns
        -------
        frame
            record_id, content_id, rule, held_out, length, a column a scorer, `silent`; by record_id.
        fresh
            How many were scored.
        """
        length = pl.coalesce(pl.col("text").str.len_bytes().cast(pl.Int64), pl.col("tokens"))
        about = ["record_id", "content_id", "rule", "held_out"]
        everything = scored_records(self.run)
        if known is None:
            made = self._score(everything, states, [*about], length)
            return made.sort("record_id"), made.height
        keys = [n for n in known.columns if n not in self.scorers and n != SILENT]
        narrow = everything.select(*dict.fromkeys([*about, *keys]), length=length)
        rows = narrow.collect(engine="streaming")
        same = rows.join(known, on=keys, how="inner", nulls_equal=True)
        new = rows.select("record_id").join(same, on="record_id", how="anti")
        chosen = everything.join(new.lazy(), on="record_id", how="semi")
        made = self._score(chosen, states, about, length)
        return pl.concat([same.select(made.columns), made]).sort("record_id"), made.height

    def _score(
        self, frame: pl.LazyFrame, states: Mapping[str, Any], about: Sequence[str], length: pl.Expr
    ) -> pl.DataFrame:
        parts: list[pl.DataFrame] = []
        done = 0
        for batch, rows in self._batches(frame):
            columns = {n: s.score(batch, states[n]) for n, s in self.scorers.items()}
            parts.append(
                rows.select(*about, length=length).with_columns(
                    *[pl.Series(n, c.values, dtype=pl.Float64) for n, c in columns.items()],
                    _silent({n: c.reasons for n, c in columns.items()}, len(batch)),
                )
            )
            done += len(batch)
            self.run.report("scoring", "scoring records", done, None)
        return pl.concat(parts) if parts else self._nothing(about)

    def _nothing(self, about: Sequence[str]) -> pl.DataFrame:
        empty = scored_records(self.run).select(*about, length=pl.col("tokens")).limit(0).collect()
        scores = [pl.lit(None, pl.Float64).alias(name) for name in self.scorers]
        return empty.with_columns(*scores, pl.lit(None, pl.String).alias(SILENT))

    def _batches(self, frame: pl.LazyFrame) -> Iterator[tuple[ScoreBatch, pl.DataFrame]]:
        """Stream records with their vectors as score batches."""
        dim = self.run.recipe.scoring.dimensions
        space = embedder(self.run.recipe).embedder_id
        vectors = self.run.scan(EMBEDDINGS).filter(pl.col("embedder_id") == space)
        joined = frame.join(vectors.select("content_id", "vector"), on="content_id", how="left")
        for batch in joined.collect_batches(chunk_size=BATCH):
            table = batch.to_arrow()
            yield (
                ScoreBatch(
                    batch["record_id"],
                    text=column_of(table, "text"),
                    features=column_of(table, "features"),
                    label=column_of(table, "label"),
                    embedding=from_stored(column_of(table, "vector"), dim),
                    group=column_of(table, self.language) if self.language else None,
                    role=column_of(table, "role"),
                ),
                batch,
            )
