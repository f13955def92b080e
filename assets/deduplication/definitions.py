"""The deduplication stage: `deduplication/records`, `deduplication/duplicates`, `deduplication/fates`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from assets.deduplication.tables import (
    CLUSTERS,
    CONTAINED,
    CONTAMINATION,
    CUT_RECORDS,
    CUTS,
    DUPLICATES,
    FATES,
    RECORDS,
    SPANS,
    TABLES,
)
from assets.kernels.canonical import SCHEME
from resources.dagster_stage import Facts, Naming, TableInfo, stage_asset
from resources.recipe import Recipe
from resources.run import Run
from resources.stage import Stage
from resources.stage_spec import StageSpec

if TYPE_CHECKING:
    from assets.deduplication.stage_texts import StageTexts

SPEC = StageSpec(
    name="deduplication",
    tables=(
        RECORDS,
        DUPLICATES,
        FATES,
        CONTAINED,
        CLUSTERS,
        CONTAMINATION,
        SPANS,
        CUTS,
        CUT_RECORDS,
    ),
    reads=("ingestion/tables", "ingestion/columns", "containment/edges"),
    code_version=f"3+{SCHEME}",
    layer="recipe",
    sections=("records", "deduplication", "holdout"),
    remembers=(FATES,),
)
SPECS = (SPEC,)
SHOWN_CHARACTERS = 600


def compute(run: Run, stage: Stage) -> Facts:
    """Read the tables into records, find their twins, and say which record of each cluster stays."""
    from assets.deduplication.cluster_report import largest_clusters
    from assets.deduplication.fates import decide
    from assets.deduplication.stage_cuts import remove_spans, since_when
    from assets.deduplication.stage_near import near_duplicates
    from assets.deduplication.stage_texts import StageTexts
    from assets.deduplication.survivor_order import wanted_columns
    from assets.deduplication.write_records import write_records

    settings = run.recipe.deduplication
    contained, tables_read = write_records(run, stage, SPEC)
    records = stage.staged(RECORDS)
    own = records.select(
        "record_id",
        "content_id",
        "table",
        "role",
        "label",
        "rule",
        *wanted_columns(settings.order),
        length=pl.coalesce(pl.col("text").str.len_bytes().cast(pl.Int64), pl.col("tokens")),
        empty=_nothing_to_learn(),
    ).collect(engine="streaming")
    texts = StageTexts.of(records, settings.normalise)
    narrow = texts.renamed(own)
    found = near_duplicates(run, texts)
    near, miss = found.near, found.miss
    shared = _contamination(run, texts, narrow)
    before = _kept_before(run)
    held = before.filter(pl.col("fate") == "held_out")
    decided = decide(
        narrow,
        near.pairs,
        near.twins,
        mode=settings.mode,
        label_conflicts=settings.label_conflicts,
        holdout_share=run.recipe.holdout.share,
        seed=run.recipe.seed,
        previously_held=set(texts.renamed(held)["content_id"]),
        order=settings.order,
        incumbents=set(before["record_id"]) if settings.survivor == "incumbent" else (),
        shared=shared,
    )
    fates = decided.fates.drop("content_id").join(
        own.select("record_id", "content_id"), on="record_id", maintain_order="left"
    )
    fates = fates.select(decided.fates.columns)
    _audit(stage, own, fates, decided.duplicates)
    if settings.survivor == "incumbent":
        fates = since_when(fates, before)
    raw = texts if settings.normalise == "none" else StageTexts.of(records, "none")
    told = remove_spans(run, stage, raw, own, fates, decided.duplicates)
    fates = told.fates
    clusters = largest_clusters(decided.duplicates, narrow, near.pairs, near.twins)
    stage.put(DUPLICATES, decided.duplicates)
    stage.put(FATES, fates)
    stage.put(CONTAINED, contained)
    stage.put(CLUSTERS, _with_texts(clusters, records))
    stage.put(CONTAMINATION, shared)
    by_fate = fates.group_by("fate").len().sort("fate")
    facts: dict[str, Any] = {
        f"records_{row['fate'] or 'kept'}": row["len"] for row in by_fate.iter_rows(named=True)
    }
    sizes = decided.duplicates.group_by("cluster").len().group_by("len").len(name="clusters")
    gone = fates.filter(pl.col("fate") == "duplicate").join(narrow, on="record_id")
    return {
        RECORDS: {
            "tables_read": tables_read,
            "tables_contained": int(contained["parent"].count()),
        },
        DUPLICATES: {
            "clusters": decided.duplicates["cluster"].n_unique(),
            "largest_cluster": max(sizes["len"].to_list(), default=0),
            "label_conflicts": int(decided.duplicates["label_conflict"].sum()),
            "bytes_saved": int(gone["length"].sum()),
            "texts_sketched": found.sketched,
            "pairs_verified": near.candidates,
            "large_buckets": near.large_buckets,
            "expected_miss_at_threshold": round(near.expected_miss, 5),
            "miss_measured_on_pairs": miss.pairs,
            "miss_measured": round(miss.missed / miss.pairs, 5) if miss.pairs else 0.0,
        },
        FATES: facts,
        CONTAMINATION: {"texts_that_share_a_span": shared["content_id"].n_unique()},
        **told.facts,
    }


def _contamination(run: Run, texts: StageTexts, narrow: pl.DataFrame) -> pl.DataFrame:
    """Return the spans shared with protected texts, if the recipe asks for them."""
    from assets.deduplication.stage_spans import SHARED_SCHEMA, spans_with_protected

    tokens = run.recipe.deduplication.contamination_tokens
    if tokens is None:
        return pl.DataFrame(schema=SHARED_SCHEMA)
    run.report("deduplication", "comparing with evaluation texts", None, None)
    return spans_with_protected(texts, narrow, tokens)


def _with_texts(clusters: pl.DataFrame, records: pl.LazyFrame) -> pl.DataFrame:
    """Add the beginnings of the two texts that each cluster shows side by side."""
    ids = pl.concat([clusters["record_id"], clusters["twin_id"].rename("record_id")]).unique()
    texts = (
        records.select("record_id", text=pl.col("text").str.slice(0, SHOWN_CHARACTERS))
        .join(ids.to_frame().lazy(), on="record_id", how="semi")
        .collect(engine="streaming")
    )
    twins = texts.rename({"record_id": "twin_id", "text": "twin_text"})
    return clusters.join(texts, on="record_id", how="left", maintain_order="left").join(
        twins, on="twin_id", how="left", maintain_order="left"
    )


def _nothing_to_learn() -> pl.Expr:
    text = pl.col("text").is_not_null() & (pl.col("text").str.strip_chars().str.len_bytes() > 0)
    features = pl.col("features").is_not_null() & (
        pl.col("features").list.drop_nulls().list.len() > 0
    )
    uri = pl.col("uri").is_not_null() & (pl.col("uri") != "")
    return ~(text | features | uri)


def _kept_before(run: Run) -> pl.DataFrame:
    """Return record_id, content_id, fate and since of what the base release kept or held out."""
    schema = {"record_id": pl.String, "content_id": pl.String, "fate": pl.String, "since": pl.Int32}
    before = None if run.base is None else run.base.scan(FATES)
    if before is None:
        return pl.DataFrame(schema=schema)
    if "since" not in before.collect_schema():  # a release of before it was told
        before = before.with_columns(since=pl.lit(None, pl.Int32))
    kept = pl.col("fate").is_null() | (pl.col("fate") == "held_out")
    return before.filter(kept).select(*schema).collect()


def _audit(
    stage: Stage, narrow: pl.DataFrame, fates: pl.DataFrame, duplicates: pl.DataFrame
) -> None:
    stage.check(
        "one_fate_a_record",
        fates.height == narrow.height == fates["record_id"].n_unique() and narrow.height > 0,
        records=narrow.height,
        fates=fates.height,
        distinct_ids=fates["record_id"].n_unique(),
    )
    dropped = duplicates.filter(pl.col("record_id") != pl.col("keeper"))
    kept = fates.filter(pl.col("fate").is_null() | (pl.col("fate") == "held_out")).select(
        "record_id"
    )
    lost = dropped.filter(~pl.col("keeper").is_in(kept["record_id"].to_list()))
    stage.check(
        "keepers_are_kept",
        lost.filter(~pl.col("label_conflict")).is_empty(),
        dropped=dropped.height,
        without_keeper=lost.height,
    )
    protected = fates.filter(pl.col("fate") == "evaluation").select("content_id")
    leaked = (
        fates.filter(pl.col("fate").is_null() | (pl.col("fate") == "held_out"))
        .join(protected, on="content_id", how="semi")
        .height
    )
    stage.check("no_evaluation_content_survives", leaked == 0, leaked=leaked)


INFO = {name: TableInfo(row, columns) for name, (row, columns) in TABLES.items()}
CHECKS = {
    "one_fate_a_record": "every record has one id and one line",
    "keepers_are_kept": "each dropped record names a record that stays",
    "no_evaluation_content_survives": "no surviving record has the content of an evaluation or target record",
    "cut_spans_are_kept": "each span that was cut stands in a record that goes on",
}
ADVISORY = ("cut_spans_are_kept",)


def define(
    recipe: Recipe, naming: Naming, specs: Mapping[str, StageSpec]
) -> list[dg.AssetsDefinition]:
    """Make the stage's assets."""
    return [stage_asset(SPEC, naming, specs, compute, INFO, checks=CHECKS, advisory=ADVISORY)]
