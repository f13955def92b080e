"""The scoring stage: `scoring/embeddings`, and `scoring/scores` with its calibration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl
import pyarrow as pa

from resources import delta
from resources.dagster_stage import Facts, Naming, TableInfo, stage_asset
from resources.delta_types import frame_schema
from resources.recipe import Recipe
from resources.run import Run
from resources.stage import Stage
from resources.stage_spec import StageSpec, digest

if TYPE_CHECKING:
    from assets.scoring.calibration import Calibration
    from assets.scoring.stored_scores import Addition

EMBEDDINGS = "scoring/embeddings"
SCORES, CALIBRATION, SILENCES = "scoring/scores", "scoring/calibration", "scoring/silences"
RECORDS, FATES = "deduplication/records", "deduplication/fates"
CUT_RECORDS = "deduplication/cut_records"
BATCH = 20_000
SLICE = 4_096


def _models(run: Run) -> object:
    """Identity of the trained models by content; None where there is none."""
    from assets.scoring.recipe_models import model_identities

    return model_identities(run.recipe) or None


def _scored_by(run: Run) -> object:
    from assets.scoring.lake_scores import cohort_group
    from assets.scoring.made_with import reads_groups
    from assets.scoring.registry import SCORERS, names_in

    recipe = run.recipe
    grouped = any(reads_groups(SCORERS[n]) for n in names_in(recipe.scoring.scorers))
    return [recipe.recalibrate_at, _models(run), cohort_group(recipe) if grouped else None]


EMBEDDINGS_SPEC = StageSpec(
    name="scoring/embeddings",
    tables=(EMBEDDINGS,),
    reads=(RECORDS, FATES, CUT_RECORDS),
    code_version="1",
    layer="recipe",
    sections=("scoring", "records"),
    append=True,
    extra=_models,
)
SCORES_SPEC = StageSpec(
    name="scoring/scores",
    tables=(SCORES, CALIBRATION, SILENCES),
    reads=(RECORDS, FATES, CUT_RECORDS, EMBEDDINGS),
    code_version="4",
    layer="recipe",
    sections=("scoring",),
    extra=_scored_by,
    remembers=(SCORES, CALIBRATION),
    calibrates=True,
)
SPECS = (EMBEDDINGS_SPEC, SCORES_SPEC)


def compute_embeddings(run: Run, stage: Stage) -> Facts:
    """Embed every content that has no vector in this space yet."""
    from assets.scoring.hashed import to_stored
    from assets.scoring.lake_scores import column_of, scored_records, targets
    from assets.scoring.recipe_models import embedder
    from assets.scoring.vector_parts import VectorParts

    model = embedder(run.recipe, run.scratch / "tokens")
    schema = pa.schema(
        [
            ("content_id", pa.string()),
            ("embedder_id", pa.string()),
            ("dim", pa.int32()),
            ("vector", pa.binary()),
        ]
    )
    staged = stage.open(EMBEDDINGS, schema)
    everyone = pl.concat([scored_records(run).drop("held_out"), targets(run)], how="vertical")
    # one record a content is chosen by ids alone: the texts stream by
    chosen = everyone.group_by("content_id").agg(pl.col("record_id").min()).select("record_id")
    contents = everyone.select("record_id", "content_id", "text", "features", "rule").join(
        chosen.collect(engine="streaming").lazy(), on="record_id", how="semi"
    )
    known = _known_contents(run, model.embedder_id)
    if known is not None:
        contents = contents.join(known, on="content_id", how="anti")
    parts = VectorParts(run.scratch / "vectors", model.embedder_id)
    done = 0
    taken = [pl.Series("content_id", [], dtype=pl.String)]
    for kept in parts.wanted(contents):
        staged.write(kept.to_arrow().cast(schema))
        taken.append(kept["content_id"])
        done += kept.height
        run.report("scoring", "taking over vectors of a run that did not end", done, None)
    taken_over = done
    if taken_over:
        contents = contents.join(pl.concat(taken).to_frame().lazy(), on="content_id", how="anti")
    for batch in contents.collect_batches(chunk_size=BATCH):
        for (rule,), part in batch.group_by(["rule"], maintain_order=True):
            names = list(run.recipe.records[int(str(rule))].features) or None
            for slice_ in part.iter_slices(SLICE):
                table = slice_.to_arrow()
                vectors = model.embed(
                    column_of(table, "text"), column_of(table, "features") if names else None, names
                )
                rows = pa.table(
                    {
                        "content_id": table.column("content_id"),
                        "embedder_id": pa.array([model.embedder_id] * len(vectors)),
                        "dim": pa.array([model.dim] * len(vectors), pa.int32()),
                        "vector": to_stored(vectors),
                    }
                ).cast(schema)
                staged.write(rows)
                parts.add(rows)
                done += len(vectors)
                run.report("scoring", "embedding contents", done, None)
    cut = getattr(model, "cut", 0)
    closing = getattr(model, "close", None)
    if closing is not None:
        closing()
    staged.close()
    ids = stage.staged(EMBEDDINGS).select(pl.col("content_id").is_duplicated().any()).collect()
    stage.check("one_vector_a_content", not bool(ids.item()), new=staged.rows)
    told: dict[str, object] = {"embedder": model.embedder_id, "new_vectors": staged.rows}
    if cut:
        told["texts_cut"] = cut
    if taken_over:
        told["taken_over"] = taken_over
    return {EMBEDDINGS: told}


def _known_contents(run: Run, embedder_id: str) -> pl.LazyFrame | None:
    """Contents embedded by any earlier run; vectors are a function of content and embedder alone."""
    table = delta.open_table(run.uri(EMBEDDINGS))
    if table is None:
        return None
    rows = delta.scan(run.uri(EMBEDDINGS), table.version())
    return rows.filter(pl.col("embedder_id") == embedder_id).select("content_id")


def compute_scores(run: Run, stage: Stage) -> Facts:
    """Score every surviving record, and combine the scores to one quality."""
    from assets.scoring.calibration import worst
    from assets.scoring.flow import score_lake, silence_counts

    made = score_lake(run, SCORES_SPEC)
    calibration, frame = made.calibration, made.frame
    added = _stored(run, stage, frame, kept=not calibration.renewed)
    stage.put(CALIBRATION, calibration.to_frame())
    silences: list[tuple[str, str, int | None]] = [*silence_counts(frame)]
    without_vector = frame["redundancy"].null_count()
    if without_vector:
        silences.append(("redundancy", "no embedding", without_vector))
    silences += [(name, f"left out: {reason}", None) for name, reason in made.left_out.items()]
    schema = {"scorer": pl.String, "reason": pl.String, "rows": pl.Int64}
    stage.put(SILENCES, pl.DataFrame(sorted(silences), schema=schema, orient="row"))
    # what stands on the calibration stays as it is for as long as the calibration does
    stage.identities[CALIBRATION] = digest([CALIBRATION, calibration.identity])
    alive = int(run.scan(FATES).filter(_alive()).select(pl.len()).collect().item())
    stage.check("every_record_is_scored", frame.height == alive, scored=frame.height, alive=alive)
    name, far = worst(calibration.drift)
    return {
        SCORES: {
            "scored_now": made.fresh,
            "records": frame.height,
            "rows_written": added.rows.height,
            "rows_changed": added.changed,
            "tombstones": added.gone,
            "left_out": str(dict(made.left_out)) if made.left_out else "none",
            "without_quality": frame["quality"].null_count(),
            "redundancy_recall": round(float(made.about.get("recall") or 1.0), 5),
            "warnings": _warnings(calibration),
            "correlations": _correlations(frame),
        },
        CALIBRATION: {
            "calibration": calibration.identity,
            "renewed": calibration.renewed,
            "fitted_because": calibration.reason,
            "largest_drift": round(far, 5),
            "of_score": name or "none",
        },
    }


def _stored(run: Run, stage: Stage, frame: pl.DataFrame, *, kept: bool) -> Addition:
    """Store scores: with a kept calibration only what the base release does not say already."""
    from assets.scoring.stored_scores import addition, anew

    added = anew(frame)
    base = run.base
    before = None if base is None else base.scan(SCORES)
    if kept and base is not None and before is not None and base.output == run.output:
        added = addition(frame, before, delta.files(run.uri(SCORES), base.versions[SCORES]))
    staged = stage.open(SCORES, frame_schema(added.rows))
    added.write_to(staged)
    staged.close()
    return added


def _warnings(calibration: Calibration) -> str:
    said = [f"{n}: {told}" for n, s in sorted(calibration.states.items()) for told in s.warnings]
    return "; ".join(said) or "none"


def _alive() -> pl.Expr:
    return pl.col("fate").is_null() | (pl.col("fate") == "held_out")


def _correlations(frame: pl.DataFrame) -> dg.MetadataValue:
    from assets.scoring.statistics import correlations

    names = frame.select(pl.selectors.float()).drop("quality").columns
    return dg.MetadataValue.md(_markdown(correlations({n: frame[n].to_numpy() for n in names})))


def _markdown(frame: pl.DataFrame) -> str:
    head = f"| {' | '.join(frame.columns)} |\n|{'---|' * frame.width}\n"
    rows = [
        "| " + " | ".join(f"{v:.3f}" if isinstance(v, float) else str(v) for v in row) + " |"
        for row in frame.iter_rows()
    ]
    return head + "\n".join(rows)


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
        "A column for each scorer, and the combined quality, of each surviving or held-out record. Append-only: the "
        "row of a record with the largest `since` counts, unless it is `gone`.",
        {
            "record_id": "string: record",
            "quality": "double: combined, 0 to 1, higher is better; null where no score applies",
            "redundancy": "double: largest cosine to a record that precedes it",
            "nearest": "string: that record",
            "calibration": "string: identity of the fitted states",
            "silent": "string: which scorers gave nothing, and why; null where all did",
            "since": "int64: number of the addition that wrote the row; 0 of the whole table",
            "gone": "bool: a tombstone: the record is there no more",
        },
    ),
    CALIBRATION: TableInfo(
        "One row a fitted state. Each is kept from release to release until what it was made with changes (version and "
        "settings of the scorer, model or embedder, target), or the data have changed too far.",
        {
            "calibration": "string: identity of all states together",
            "scorer": "string: scorer",
            "version": "int64: of the scorer",
            "digest": "string: of the state",
            "state": "binary: the state",
            "made_with": "string: JSON of what it was made with: versions, settings, models, target",
            "target": "string: identity of the target's contents",
            "reason": "string: why those were fitted that this release fitted",
            "renewed": "bool: whether this release fitted this one",
            "drift": "double: change of the score's distribution since, 0 to 1",
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
