"""The deduplication stage: `deduplication/records`, `deduplication/duplicates`, `deduplication/fates`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl
import pyarrow as pa

from assets.deduplication.errors import DeduplicationError
from assets.deduplication.kept_records import kept_records
from assets.deduplication.reading import held_by_others, read_by_rule, retired_rows
from assets.deduplication.records import RecordMaker, record_schema
from assets.ingestion.listing import pinned_tables
from assets.kernels.canonical import SCHEME
from resources.dagster_stage import Facts, Naming, TableInfo, stage_asset
from resources.errors import RecipeError
from resources.recipe import Recipe
from resources.run import Run
from resources.stage import Stage
from resources.stage_spec import StageSpec

if TYPE_CHECKING:
    from assets.deduplication.measured_miss import MeasuredMiss
    from assets.deduplication.near_pairs import NearPairs
    from assets.deduplication.stage_texts import StageTexts

RECORDS, DUPLICATES, FATES, CONTAINED, CLUSTERS, CONTAMINATION, SPANS = (
    "deduplication/records",
    "deduplication/duplicates",
    "deduplication/fates",
    "deduplication/contained",
    "deduplication/clusters",
    "deduplication/contamination",
    "deduplication/spans",
)
SPEC = StageSpec(
    name="deduplication",
    tables=(RECORDS, DUPLICATES, FATES, CONTAINED, CLUSTERS, CONTAMINATION, SPANS),
    reads=("ingestion/tables", "ingestion/columns", "containment/edges"),
    code_version=f"2+{SCHEME}",
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
    from assets.deduplication.stage_texts import StageTexts
    from assets.deduplication.survivor_order import wanted_columns

    settings = run.recipe.deduplication
    contained, tables_read = _write_records(run, stage)
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
    near, texts_sketched = _near_duplicates(run, texts)
    miss = _measured_miss(run, texts, near)
    shared, repeated = _spans(run, texts, narrow)
    decided = decide(
        narrow,
        near.pairs,
        near.twins,
        mode=settings.mode,
        label_conflicts=settings.label_conflicts,
        holdout_share=run.recipe.holdout.share,
        seed=run.recipe.seed,
        previously_held=set(texts.renamed(_kept_before(run, held=True))["content_id"]),
        order=settings.order,
        incumbents=set(_kept_before(run, held=False)["record_id"])
        if settings.survivor == "incumbent"
        else (),
        shared=shared,
    )
    fates = decided.fates.drop("content_id").join(
        own.select("record_id", "content_id"), on="record_id", maintain_order="left"
    )
    fates = fates.select(decided.fates.columns)
    clusters = largest_clusters(decided.duplicates, narrow, near.pairs, near.twins)
    stage.put(DUPLICATES, decided.duplicates)
    stage.put(FATES, fates)
    stage.put(CONTAINED, contained)
    stage.put(CLUSTERS, _with_texts(clusters, records))
    stage.put(CONTAMINATION, shared)
    stage.put(SPANS, repeated)
    _audit(stage, own, fates, decided.duplicates)
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
            "texts_sketched": texts_sketched,
            "pairs_verified": near.candidates,
            "large_buckets": near.large_buckets,
            "expected_miss_at_threshold": round(near.expected_miss, 5),
            "miss_measured_on_pairs": miss.pairs,
            "miss_measured": round(miss.missed / miss.pairs, 5) if miss.pairs else 0.0,
        },
        FATES: facts,
        CONTAMINATION: {"texts_that_share_a_span": shared["content_id"].n_unique()},
        SPANS: {"texts_with_a_repeated_span": repeated["content_id"].n_unique()},
    }


def _spans(run: Run, texts: StageTexts, narrow: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the spans shared with protected texts, and among training texts, as far as the recipe asks."""
    from assets.deduplication import stage_spans

    settings = run.recipe.deduplication
    shared = pl.DataFrame(schema=stage_spans.SHARED_SCHEMA)
    repeated = pl.DataFrame(schema=stage_spans.REPEATED_SCHEMA)
    if settings.contamination_tokens is not None:
        run.report("deduplication", "comparing with evaluation texts", None, None)
        shared = stage_spans.spans_with_protected(texts, narrow, settings.contamination_tokens)
    if settings.spans is not None:
        run.report("deduplication", "looking for repeated spans", None, None)
        memory = run.recipe.limits.memory_bytes // 8
        repeated = stage_spans.spans_among(
            texts, narrow, settings.spans.tokens, settings.order, memory
        )
    return shared, repeated


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


def _write_records(run: Run, stage: Stage) -> tuple[pl.DataFrame, int]:
    """Write the records; returns what was not read (`deduplication/contained`), and how many tables were."""
    recipe = run.recipe
    tables, read = pinned_tables(run)
    rules = read_by_rule(recipe, list(tables))
    held = held_by_others(
        recipe,
        rules,
        {name: table.columns for name, table in tables.items()},
        run.read("containment/edges"),
        {name: table.version for name, table in tables.items()},
    )
    schema = record_schema(recipe.group_names, recipe.kept_columns)
    staged = stage.open(RECORDS, schema)
    unread: list[tuple[str, str | None, int]] = [
        (name, parent, tables[name].rows) for name, parent in sorted(held.items())
    ]
    unread += retired_rows(recipe, run.read("ingestion/tables"), rules, held)
    wanted = [name for name in rules if name not in held]
    kept = kept_records(run, SPEC, wanted)
    kept.write_to(staged)
    unread += [(name, None, rows) for name, rows in sorted(kept.outside.items())]
    wanted = [name for name in wanted if name not in kept.tables]
    total = sum(tables[name].rows for name in wanted)
    done = 0
    for name in wanted:
        try:
            maker = RecordMaker(
                name, recipe.records[rules[name]], rules[name], schema, tables[name].columns
            )
            outside = 0
            for batch in read(name, None):
                made = maker.make(batch)
                chosen = _sampled(made, run.sample)
                staged.write(chosen)
                outside += made.num_rows - chosen.num_rows
                done += batch.num_rows
                run.report("deduplication", "reading records", done, total)
        except DeduplicationError as error:
            raise RecipeError(str(error)) from error
        if outside:
            unread.append((name, None, outside))
    staged.close()
    if run.sample is not None and not staged.rows:
        message = f"a sample of {run.sample:g} holds no record of this lake; choose a larger share"
        raise RecipeError(message)
    contained = pl.DataFrame(
        unread,
        schema={"table": pl.String, "parent": pl.String, "rows": pl.Int64},
        orient="row",
    )
    return contained, len(wanted)


def _sampled(records: pa.Table, share: float | None) -> pa.Table:
    """Keep the training records of the sample, which a larger share contains, and all that protects or aims.

    Evaluation and target records are never sampled: what must not be trained on stays out of every sample.
    """
    if share is None or not records.num_rows or records.column("role")[0].as_py() != "train":
        return records
    from assets.kernels.keyed_random import uniform

    return records.filter(pa.array(uniform(records.column("record_id"), 0, "sample") < share))


def _nothing_to_learn() -> pl.Expr:
    text = pl.col("text").is_not_null() & (pl.col("text").str.strip_chars().str.len_bytes() > 0)
    features = pl.col("features").is_not_null() & (
        pl.col("features").list.drop_nulls().list.len() > 0
    )
    uri = pl.col("uri").is_not_null() & (pl.col("uri") != "")
    return ~(text | features | uri)


def _near_duplicates(run: Run, texts: StageTexts) -> tuple[NearPairs, int]:
    """Find near duplicates; returns also how many texts were sketched, because no run had yet."""
    from assets.deduplication.near import NearDuplicates
    from assets.deduplication.set_cache import SetCache
    from assets.deduplication.shingles import SHINGLE_TAG
    from assets.deduplication.sketch_cache import SketchCache

    settings = run.recipe.deduplication
    run.scratch.mkdir(parents=True, exist_ok=True)
    # a text has one character shingle a letter: their sets are eight times the text
    keeps_sets = settings.shingle.startswith("word:")
    rule = f"{settings.shingle}/{SHINGLE_TAG}"
    finder = NearDuplicates(
        settings.similarity,
        settings.shingle,
        workers=run.recipe.limits.workers,
        memory_bytes=run.recipe.limits.memory_bytes // 8,
        scratch=run.scratch,
        sets=SetCache(run.scratch / "sets", rule) if keeps_sets else None,
    )
    kept_apart = "" if settings.normalise == "none" else f"/text-{settings.normalise}"
    kept_apart += "/with-sets" if keeps_sets else ""  # a sketch without its set is made once more
    cache = SketchCache(run.scratch / "sketches", finder.scheme + kept_apart)
    known = cache.known(texts.firsts["content_id"])
    fresh = texts.firsts.join(known.select(content_id="key"), on="content_id", how="anti")
    done = 0
    for keys, values in texts.batches(fresh):
        finder.add(values, keys)
        done += len(keys)
        run.report("deduplication", "sketching texts", done, None)
    cache.add(finder.sketches())
    finder.add_sketches(known)
    run.report("deduplication", "comparing texts", None, None)
    return finder.collapsed(texts.batches), done


def _measured_miss(run: Run, texts: StageTexts, near: NearPairs) -> MeasuredMiss:
    """Compare a sample of the texts without bands, to see what the bands missed."""
    from assets.deduplication.measured_miss import measured_miss, sample_keys

    settings = run.recipe.deduplication
    asked, against = sample_keys(texts.firsts["content_id"])
    chosen = texts.firsts.filter(pl.col("content_id").is_in(against.implode()))
    return measured_miss(texts.batches(chosen), asked, near, settings.similarity, settings.shingle)


def _kept_before(run: Run, *, held: bool) -> pl.DataFrame:
    """Return record_id and content_id of what the base release held out, or of all that it kept."""
    before = None if run.base is None else run.base.scan(FATES)
    if before is None:
        return pl.DataFrame(schema={"record_id": pl.String, "content_id": pl.String})
    out = pl.col("fate") == "held_out"
    return (
        before.filter(out if held else out | pl.col("fate").is_null())
        .select("record_id", "content_id")
        .collect()
    )


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


INFO = {
    RECORDS: TableInfo(
        "One row a record that was read.",
        {
            "record_id": "string: 32 hex digits, stable under reordering and re-ingestion",
            "content_id": "string: what is learned from, without label and groups",
            "table": "string: source table",
            "position": "int64: row in it, counted from 0",
            "role": "string: train, evaluation or target",
            "text": "string: what is learned from",
            "features": "list: or numbers",
            "uri": "string: or an address",
            "label": "string: label",
            "rule": "int32: which rule of the recipe read it",
            "tokens": "int64: words and marks, or features",
        },
    ),
    DUPLICATES: TableInfo(
        "One row a record that has a twin, with the record that is kept instead.",
        {
            "record_id": "string: record",
            "cluster": "string: smallest content id of the component",
            "kind": "string: exact or near",
            "keeper": "string: the record that stays",
            "similarity": "double: exact Jaccard with the keeper",
            "label_conflict": "bool: the twins carry different labels",
        },
    ),
    FATES: TableInfo(
        "One row a record: what this stage decided; null for those that go on.",
        {
            "record_id": "string: record",
            "content_id": "string: content",
            "table": "string: source table",
            "fate": "string: duplicate, contaminated, evaluation, filtered, held_out or null",
            "reason": "string: why",
            "by": "string: in favour or because of which record",
        },
    ),
    CONTAINED: TableInfo(
        "One row a table that was not read, because another table that was read holds all its rows; "
        "in a sampled run also one row a table of which rows lie outside the sample.",
        {
            "table": "string: table",
            "parent": "string: the table that was read; null for rows outside the sample",
            "rows": "int64: its rows, or how many of them lie outside the sample",
        },
    ),
    CLUSTERS: TableInfo(
        "The largest clusters of twins, with two of their records side by side.",
        {
            "cluster": "string: smallest content id of the component",
            "records": "int64: in it",
            "kept": "int64: of these",
            "bytes_saved": "int64: length of those that are not kept",
            "pairs": "int64: verified pairs of distinct sets of shingles",
            "weakest": "double: the smallest similarity of a pair",
            "diameter": "int64: steps between the two contents farthest apart (a lower bound); 0: all are copies",
            "record_id": "string: a record that is kept",
            "twin_id": "string: the least similar one that is dropped for it",
            "similarity": "double: of these two; null: never compared",
            "text": "string: how the kept one begins",
            "twin_text": "string: how the dropped one begins",
        },
    ),
    CONTAMINATION: TableInfo(
        "Spans that training texts share with evaluation or target texts, where the recipe asks for them.",
        {
            "content_id": "string: the training text, or the first of those equal to it as normalised",
            "against": "string: the evaluation or target record",
            "role": "string: its role",
            "tokens": "int64: length of the span",
            "start": "int64: first character in the training text",
            "end": "int64: the one after the last",
            "against_start": "int64: first character in the other text",
            "against_end": "int64: the one after the last",
        },
    ),
    SPANS: TableInfo(
        "Spans that training texts share with one another, where the recipe asks for them.",
        {
            "content_id": "string: a text",
            "start": "int64: first character",
            "end": "int64: the one after the last",
            "tokens": "int64: length of the span",
            "other": "string: content id of a text that has it too",
            "other_start": "int64: first character there",
            "other_end": "int64: the one after the last",
            "removable": "bool: the other text comes first in the survivor order",
        },
    ),
}
CHECKS = {
    "one_fate_a_record": "every record has one id and one line",
    "keepers_are_kept": "each dropped record names a record that stays",
    "no_evaluation_content_survives": "no surviving record has the content of an evaluation or target record",
}


def define(
    recipe: Recipe, naming: Naming, specs: Mapping[str, StageSpec]
) -> list[dg.AssetsDefinition]:
    """Make the stage's assets."""
    return [stage_asset(SPEC, naming, specs, compute, INFO, checks=CHECKS)]
