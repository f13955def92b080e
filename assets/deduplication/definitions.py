"""The deduplication stage: `deduplication/records`, `deduplication/duplicates`, `deduplication/fates`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
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
    from assets.deduplication.stage_texts import StageTexts, narrow_records
    from assets.deduplication.survivor_order import wanted_columns
    from assets.deduplication.write_records import write_records
    from assets.kernels.freed_memory import give_back

    settings = run.recipe.deduplication
    contained, tables_read = write_records(run, stage, SPEC)
    give_back()
    files = stage.files(RECORDS)
    own = narrow_records(files, ["label", "rule", *wanted_columns(settings.order)])
    texts = StageTexts.of(files, own, settings.normalise)
    narrow = texts.renamed(own)
    found = near_duplicates(run, texts)
    near, miss = found.near, found.miss
    give_back()
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
        incumbents=before["record_id"] if settings.survivor == "incumbent" else (),
        shared=shared,
    )
    fates = decided.fates
    if texts.same.height:  # a record goes on under the id of its own content
        ids = own.select("record_id", "content_id")
        fates = fates.drop("content_id").join(ids, on="record_id", maintain_order="left")
        fates = fates.select(decided.fates.columns)
    _audit(stage, own, fates, decided.duplicates)
    if settings.survivor == "incumbent":
        fates = since_when(fates, before)
    raw = texts if settings.normalise == "none" else StageTexts.of(files, own, "none")
    told = remove_spans(run, stage, raw, own, fates, decided.duplicates)
    fates = told.fates
    twinned = narrow.join(decided.duplicates, on="record_id", how="semi")
    clusters = largest_clusters(decided.duplicates, twinned, near.pairs, near.twins)
    stage.put(DUPLICATES, decided.duplicates)
    stage.put(FATES, fates)
    stage.put(CONTAINED, contained)
    stage.put(CLUSTERS, _with_texts(clusters, files))
    stage.put(CONTAMINATION, shared)
    by_fate = fates.group_by("fate").len().sort("fate")
    facts: dict[str, Any] = {
        f"records_{row['fate'] or 'kept'}": row["len"] for row in by_fate.iter_rows(named=True)
    }
    sizes = decided.duplicates.group_by("cluster").len().group_by("len").len(name="clusters")
    dropped = fates.filter(pl.col("fate") == "duplicate").select("record_id")
    gone = own.join(dropped, on="record_id", how="semi")
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


def _with_texts(clusters: pl.DataFrame, files: Sequence[Path]) -> pl.DataFrame:
    """Add the beginnings of the two texts that each cluster shows side by side."""
    from assets.deduplication.staged_rows import staged_batches

    ids = pl.concat([clusters["record_id"], clusters["twin_id"].rename("record_id")]).unique()
    parts = [pl.DataFrame(schema={"record_id": pl.String, "text": pl.String})]
    for batch in staged_batches(files, ["record_id", "text"]) if len(ids) else ():
        some = pl.DataFrame(batch).filter(pl.col("record_id").is_in(ids.implode()))
        parts.append(some.with_columns(pl.col("text").str.slice(0, SHOWN_CHARACTERS)))
    texts = pl.concat(parts, rechunk=True)
    twins = texts.rename({"record_id": "twin_id", "text": "twin_text"})
    return clusters.join(texts, on="record_id", how="left", maintain_order="left").join(
        twins, on="twin_id", how="left", maintain_order="left"
    )


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
    from assets.deduplication.name_places import repeated_names
    from assets.deduplication.stage_memory import needed_bytes

    limit, needed = stage.run.recipe.limits.memory_bytes, needed_bytes(narrow.height)
    stage.check("memory_is_enough", needed <= limit, blocking=False, allowed=limit, needed=needed)
    repeated = int(repeated_names(fates["record_id"]).sum())
    stage.check(
        "one_fate_a_record",
        fates.height == narrow.height > 0 and not repeated,
        records=narrow.height,
        fates=fates.height,
        repeated_ids=repeated,
    )
    dropped = duplicates.filter(pl.col("record_id") != pl.col("keeper"))
    stays = pl.col("fate").is_null() | (pl.col("fate") == "held_out")
    kept = fates.select(pl.col("record_id", "content_id").filter(stays))
    named = dropped.select(record_id="keeper").unique()
    there = kept.select(keeper="record_id").join(
        named, left_on="keeper", right_on="record_id", how="semi"
    )
    lost = dropped.join(there, on="keeper", how="anti")
    stage.check(
        "keepers_are_kept",
        lost.filter(~pl.col("label_conflict")).is_empty(),
        dropped=dropped.height,
        without_keeper=lost.height,
    )
    protected = fates.filter(pl.col("fate") == "evaluation").select("content_id")
    leaked = kept.select("content_id").join(protected, on="content_id", how="semi").height
    stage.check("no_evaluation_content_survives", leaked == 0, leaked=leaked)


INFO = {name: TableInfo(row, columns) for name, (row, columns) in TABLES.items()}
CHECKS = {
    "one_fate_a_record": "every record has one id and one line",
    "keepers_are_kept": "each dropped record names a record that stays",
    "no_evaluation_content_survives": "no surviving record has the content of an evaluation or target record",
    "memory_is_enough": "limits.memory holds what is kept of so many records; where not, raise it to `needed` bytes",
    "cut_spans_are_kept": "each span that was cut stands in a record that goes on",
}
ADVISORY = ("memory_is_enough", "cut_spans_are_kept")


def define(
    recipe: Recipe, naming: Naming, specs: Mapping[str, StageSpec]
) -> list[dg.AssetsDefinition]:
    """Make the stage's assets."""
    return [stage_asset(SPEC, naming, specs, compute, INFO, checks=CHECKS, advisory=ADVISORY)]
