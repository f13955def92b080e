"""The scoring stage: `scoring/embeddings`, and `scoring/scores` with its calibration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
import pyarrow as pa

from resources import delta
from resources.dagster_stage import Facts, Naming, TableInfo, stage_asset
from resources.errors import RecipeError
from resources.recipe import Recipe
from resources.run import Run, Stage, StageSpec, digest

EMBEDDINGS = "scoring/embeddings"
SCORES, CALIBRATION, SILENCES = "scoring/scores", "scoring/calibration", "scoring/silences"
RECORDS, FATES = "deduplication/records", "deduplication/fates"
BATCH = 20_000
LANGUAGE_GROUPS = ("language", "lang")

EMBEDDINGS_SPEC = StageSpec(
    name="scoring/embeddings",
    tables=(EMBEDDINGS,),
    reads=(RECORDS, FATES),
    code_version="1",
    layer="recipe",
    sections=("scoring", "records"),
    append=True,
)
SCORES_SPEC = StageSpec(
    name="scoring/scores",
    tables=(SCORES, CALIBRATION, SILENCES),
    reads=(RECORDS, FATES, EMBEDDINGS),
    code_version="1",
    layer="recipe",
    sections=("scoring",),
)
SPECS = (EMBEDDINGS_SPEC, SCORES_SPEC)


def scored_records(run: Run) -> pl.LazyFrame:
    """Return the records that are scored: survivors and held-out ones, with `held_out`."""
    fates = run.scan(FATES).filter(pl.col("fate").is_null() | (pl.col("fate") == "held_out"))
    alive = fates.select("record_id", held_out=pl.col("fate").is_not_null())
    return run.scan(RECORDS).join(alive, on="record_id", how="inner")


def embedder(recipe: Recipe) -> Any:  # noqa: ANN401 - the embedder's class is imported late
    """Make the recipe's embedder."""
    from assets.scoring.hashed import HashedEmbedder

    if recipe.scoring.embedder != "hashed":
        message = f"scoring.embedder: {recipe.scoring.embedder!r} is not known; use hashed"
        raise RecipeError(message)
    return HashedEmbedder(recipe.scoring.dimensions)


def compute_embeddings(run: Run, stage: Stage) -> Facts:
    """Embed every content that has no vector in this space yet."""
    from assets.scoring.hashed import to_stored

    model = embedder(run.recipe)
    schema = pa.schema(
        [
            ("content_id", pa.string()),
            ("embedder_id", pa.string()),
            ("dim", pa.int32()),
            ("vector", pa.binary()),
        ]
    )
    staged = stage.open(EMBEDDINGS, schema)
    contents = (
        pl.concat([scored_records(run).drop("held_out"), _targets(run)], how="vertical")
        .select("content_id", "text", "features", "rule")
        .unique("content_id", keep="any")
    )
    known = _known_contents(run, model.embedder_id)
    if known is not None:
        contents = contents.join(known, on="content_id", how="anti")
    done = 0
    for batch in contents.collect_batches(chunk_size=BATCH):
        for (rule,), part in batch.group_by(["rule"], maintain_order=True):
            names = list(run.recipe.records[int(str(rule))].features) or None
            table = part.to_arrow()
            vectors = model.embed(
                _column(table, "text"), _column(table, "features") if names else None, names
            )
            staged.write(
                pa.table(
                    {
                        "content_id": table.column("content_id"),
                        "embedder_id": pa.array([model.embedder_id] * len(vectors)),
                        "dim": pa.array([model.dim] * len(vectors), pa.int32()),
                        "vector": to_stored(vectors),
                    }
                )
            )
        done += batch.height
        run.report("scoring", "embedding contents", done, None)
    staged.close()
    ids = stage.staged(EMBEDDINGS).select(pl.col("content_id").is_duplicated().any()).collect()
    stage.check("one_vector_a_content", not bool(ids.item()), new=staged.rows)
    return {EMBEDDINGS: {"embedder": model.embedder_id, "new_vectors": staged.rows}}


def _targets(run: Run) -> pl.LazyFrame:
    return run.scan(RECORDS).filter(pl.col("role") == "target")


def _known_contents(run: Run, embedder_id: str) -> pl.LazyFrame | None:
    """Contents embedded by any earlier run; vectors are a function of content and embedder alone."""
    table = delta.open_table(run.uri(EMBEDDINGS))
    if table is None:
        return None
    rows = delta.scan(run.uri(EMBEDDINGS), table.version())
    return rows.filter(pl.col("embedder_id") == embedder_id).select("content_id")


def _column(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def compute_scores(run: Run, stage: Stage) -> Facts:
    """Fit the scorers, score every surviving record, and combine the scores to one quality."""
    from assets.scoring.combine import Borda
    from assets.scoring.protocol import Needs, ScoreContext
    from assets.scoring.redundancy import RedundancyScorer
    from assets.scoring.registry import from_recipe, split_by_needs
    from resources.device import choose_device

    recipe = run.recipe
    scorers = from_recipe(recipe.scoring.scorers)
    has_target = bool(_targets(run).select(pl.len()).collect().item())
    available = ~Needs.NONE if has_target else ~Needs.TARGET
    active, left_out = split_by_needs(scorers, available)
    context = ScoreContext(seed=recipe.seed, device=choose_device(recipe.limits.device))
    local = {name: s for name, s in active.items() if s.row_local}
    states = _fit(run, local, context)
    columns, silences, about = _score(run, local, states, context)
    directions: dict[str, Any] = {name: s.direction(states[name]) for name, s in local.items()}
    redundancy = RedundancyScorer()
    column, facts = redundancy.score_all(about["batch"], about["rank"], context)
    columns["redundancy"] = column.values
    silences["redundancy"] = column.reason_counts()
    if "redundancy" in active:
        directions["redundancy"] = "low"
    if not directions:
        message = f"scoring.scorers: none can run here ({left_out}); name one that needs less"
        raise RecipeError(message)
    borda = Borda()
    fitting = ~about["held_out"]
    ranks = borda.fit_ranks([{n: columns[n][fitting] for n in directions}], directions)
    quality = borda.apply({n: columns[n] for n in directions}, ranks)
    calibration = digest([[n, s.digest()] for n, s in sorted({**states, "borda": ranks}.items())])
    frame = pl.DataFrame(
        {
            "record_id": about["batch"].ids.alias("record_id"),
            **{name: pl.Series(values) for name, values in sorted(columns.items())},
            "quality": pl.Series(quality),
        }
    ).with_columns(pl.selectors.float().fill_nan(None), calibration=pl.lit(calibration))
    stage.put(SCORES, frame.sort("record_id"))
    stage.put(CALIBRATION, _calibration_rows({**states, "borda": ranks}, calibration))
    stage.put(SILENCES, _silence_rows(silences, left_out))
    alive = int(run.scan(FATES).filter(_alive()).select(pl.len()).collect().item())
    stage.check("every_record_is_scored", frame.height == alive, scored=frame.height, alive=alive)
    return {
        SCORES: {
            "scorers": ", ".join(sorted(columns)),
            "left_out": str(left_out) if left_out else "none",
            "without_quality": frame["quality"].null_count(),
            "redundancy_recall": round(float(facts.get("recall") or 1.0), 5),
            **_correlations(columns),
        },
        CALIBRATION: {"calibration": calibration},
    }


def _alive() -> pl.Expr:
    return pl.col("fate").is_null() | (pl.col("fate") == "held_out")


def _correlations(columns: Mapping[str, Any]) -> dict[str, Any]:
    from assets.scoring.statistics import correlations

    frame = correlations(dict(sorted(columns.items())))
    return {"correlations": dg.MetadataValue.md(_markdown(frame))}


def _markdown(frame: pl.DataFrame) -> str:
    head = f"| {' | '.join(frame.columns)} |\n|{'---|' * frame.width}\n"
    rows = [
        "| " + " | ".join(f"{v:.3f}" if isinstance(v, float) else str(v) for v in row) + " |"
        for row in frame.iter_rows()
    ]
    return head + "\n".join(rows)


def _batches(run: Run, frame: pl.LazyFrame, dim: int) -> Iterator[tuple[Any, pl.DataFrame]]:
    """Stream records with their vectors as score batches."""
    from assets.scoring.hashed import from_stored
    from assets.scoring.protocol import ScoreBatch

    space = embedder(run.recipe).embedder_id
    vectors = run.scan(EMBEDDINGS).filter(pl.col("embedder_id") == space)
    joined = frame.join(vectors.select("content_id", "vector"), on="content_id", how="left")
    language = next((g for g in LANGUAGE_GROUPS if g in run.recipe.group_names), None)
    for batch in joined.collect_batches(chunk_size=BATCH):
        table = batch.to_arrow()
        yield (
            ScoreBatch(
                batch["record_id"],
                text=_column(table, "text"),
                features=_column(table, "features"),
                label=_column(table, "label"),
                embedding=from_stored(_column(table, "vector"), dim),
                group=_column(table, language) if language else None,
                role=_column(table, "role"),
            ),
            batch,
        )


def _fit(run: Run, scorers: Mapping[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401
    dim = run.recipe.scoring.dimensions
    train = scored_records(run).filter(~pl.col("held_out")).drop("held_out")
    frame = pl.concat([train, _targets(run)], how="vertical")
    summaries: dict[str, Any] = {}
    done = 0
    for batch, _rows in _batches(run, frame, dim):
        for name, scorer in scorers.items():
            part = scorer.summarise([batch], context)
            summaries[name] = scorer.merge(summaries[name], part) if name in summaries else part
        done += len(batch)
        run.report("scoring", "fitting scorers", done, None)
    return {
        name: scorer.finish(
            summaries[name] if name in summaries else scorer.summarise([], context), context
        )
        for name, scorer in scorers.items()
    }


def _score(
    run: Run,
    scorers: Mapping[str, Any],
    states: Mapping[str, Any],
    context: Any,  # noqa: ANN401
) -> tuple[dict[str, Any], dict[str, Counter[str]], dict[str, Any]]:
    from assets.scoring.protocol import ScoreBatch

    dim = run.recipe.scoring.dimensions
    parts: dict[str, list[Any]] = {name: [] for name in scorers}
    silences: dict[str, Counter[str]] = {name: Counter() for name in scorers}
    narrow: list[pl.DataFrame] = []
    vectors: list[Any] = []
    done = 0
    for batch, rows in _batches(run, scored_records(run), dim):
        for name, scorer in scorers.items():
            column = scorer.score(batch, states[name])
            parts[name].append(column.values)
            silences[name] += column.reason_counts()
        vectors.append(batch.embedding.astype(np.float16))
        length = pl.coalesce(pl.col("text").str.len_bytes().cast(pl.Int64), pl.col("tokens"))
        narrow.append(rows.select("record_id", "content_id", "rule", "held_out", length=length))
        done += len(batch)
        run.report("scoring", "scoring records", done, None)
    columns = {n: np.concatenate(p) if p else np.empty(0) for n, p in parts.items()}
    kept = pl.concat(narrow)
    order = kept.with_row_index("row").sort(
        "rule", -pl.col("length"), "content_id", "record_id", nulls_last=True
    )
    rank = np.empty(kept.height, dtype=np.int64)
    rank[order["row"].to_numpy()] = np.arange(kept.height)
    embedding = np.concatenate(vectors) if vectors else np.empty((0, dim), np.float16)
    about = {
        "batch": ScoreBatch(kept["record_id"], embedding=embedding.astype(np.float32)),
        "rank": rank,
        "held_out": kept["held_out"].to_numpy(),
    }
    return columns, silences, about


def _calibration_rows(states: Mapping[str, Any], calibration: str) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "calibration": [calibration] * len(states),
            "scorer": sorted(states),
            "version": [states[n].version for n in sorted(states)],
            "digest": [states[n].digest() for n in sorted(states)],
            "state": [states[n].to_bytes() for n in sorted(states)],
        }
    )


def _silence_rows(
    silences: Mapping[str, Counter[str]], left_out: Mapping[str, str]
) -> pl.DataFrame:
    rows: list[tuple[str, str, int | None]] = [
        (name, reason, count)
        for name, counts in sorted(silences.items())
        for reason, count in sorted(counts.items())
    ]
    rows += [(name, f"left out: {reason}", None) for name, reason in sorted(left_out.items())]
    schema = {"scorer": pl.String, "reason": pl.String, "rows": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


INFO = {
    EMBEDDINGS: TableInfo(
        "One row a content: its vector, with the identity of the space it lives in. Append-only.",
        {
            "content_id": "string: content",
            "embedder_id": "string: which embedder, with all its settings",
            "dim": "int32: dimensions",
            "vector": "binary: little-endian float16",
        },
    ),
    SCORES: TableInfo(
        "One row a surviving or held-out record: a column for each scorer, and the combined quality.",
        {
            "record_id": "string: record",
            "quality": "double: combined, 0 to 1, higher is better; null where no score applies",
            "redundancy": "double: largest cosine to a record that precedes it",
            "calibration": "string: identity of the fitted states",
        },
    ),
    CALIBRATION: TableInfo(
        "One row a fitted state.",
        {
            "calibration": "string: identity of all states together",
            "scorer": "string: scorer",
            "version": "int64: of the scorer",
            "digest": "string: of the state",
            "state": "binary: the state",
        },
    ),
    SILENCES: TableInfo(
        "Where a scorer said nothing, and why.",
        {"scorer": "string: scorer", "reason": "string: why", "rows": "int64: records"},
    ),
}


def define(
    recipe: Recipe, naming: Naming, specs: Mapping[str, StageSpec]
) -> list[dg.AssetsDefinition]:
    """Make the stage's assets."""
    kinds = ("torch", "polars", "deltalake")
    return [
        stage_asset(
            EMBEDDINGS_SPEC,
            naming,
            specs,
            compute_embeddings,
            INFO,
            checks={"one_vector_a_content": "no content is embedded twice"},
            kinds=kinds,
            pool="gpu",
        ),
        stage_asset(
            SCORES_SPEC,
            naming,
            specs,
            compute_scores,
            INFO,
            checks={"every_record_is_scored": "survivors and held-out records all have a line"},
            kinds=kinds,
            pool="gpu",
        ),
    ]


COMPUTES = ((EMBEDDINGS_SPEC, compute_embeddings), (SCORES_SPEC, compute_scores))
