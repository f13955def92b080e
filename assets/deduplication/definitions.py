"""The deduplication stage: `deduplication/records`, `deduplication/duplicates`, `deduplication/fates`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

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
from resources.run import Run, Stage, StageSpec

RECORDS, DUPLICATES, FATES, CONTAINED = (
    "deduplication/records",
    "deduplication/duplicates",
    "deduplication/fates",
    "deduplication/contained",
)
SPEC = StageSpec(
    name="deduplication",
    tables=(RECORDS, DUPLICATES, FATES, CONTAINED),
    reads=("ingestion/tables", "ingestion/columns", "containment/edges"),
    code_version=f"1+{SCHEME}",
    layer="recipe",
    sections=("records", "deduplication", "holdout"),
    remembers=(FATES,),
)
SPECS = (SPEC,)
BATCH = 20_000


def compute(run: Run, stage: Stage) -> Facts:
    """Read the tables into records, find their twins, and say which record of each cluster stays."""
    contained, tables_read = _write_records(run, stage)
    records = stage.staged(RECORDS)
    narrow = records.select(
        "record_id",
        "content_id",
        "table",
        "role",
        "label",
        "rule",
        length=pl.coalesce(pl.col("text").str.len_bytes().cast(pl.Int64), pl.col("tokens")),
        empty=_nothing_to_learn(),
    ).collect(engine="streaming")
    near, texts_sketched = _near_duplicates(run, records)
    from assets.deduplication.fates import decide

    settings = run.recipe.deduplication
    decided = decide(
        narrow,
        near.pairs,
        near.twins,
        mode=settings.mode,
        label_conflicts=settings.label_conflicts,
        holdout_share=run.recipe.holdout.share,
        seed=run.recipe.seed,
        previously_held=_previously_held(run),
    )
    stage.put(DUPLICATES, decided.duplicates)
    stage.put(FATES, decided.fates)
    stage.put(CONTAINED, contained)
    _audit(stage, narrow, decided.fates, decided.duplicates)
    by_fate = decided.fates.group_by("fate").len().sort("fate")
    facts: dict[str, Any] = {
        f"records_{row['fate'] or 'kept'}": row["len"] for row in by_fate.iter_rows(named=True)
    }
    sizes = decided.duplicates.group_by("cluster").len().group_by("len").len(name="clusters")
    return {
        RECORDS: {
            "tables_read": tables_read,
            "tables_contained": int(contained["parent"].count()),
        },
        DUPLICATES: {
            "clusters": decided.duplicates["cluster"].n_unique(),
            "largest_cluster": max(sizes["len"].to_list(), default=0),
            "label_conflicts": int(decided.duplicates["label_conflict"].sum()),
            "texts_sketched": texts_sketched,
            "pairs_verified": near.candidates,
            "expected_miss_at_threshold": round(near.expected_miss, 5),
        },
        FATES: facts,
    }


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


def _near_duplicates(run: Run, records: pl.LazyFrame) -> tuple[Any, int]:
    """Find near duplicates (`NearPairs`); returns also how many texts were sketched, because no run had yet."""
    from assets.deduplication.near import NearDuplicates
    from assets.deduplication.sketch_cache import SketchCache

    settings = run.recipe.deduplication
    finder = NearDuplicates(
        settings.similarity,
        settings.shingle,
        workers=run.recipe.limits.workers,
        memory_bytes=run.recipe.limits.memory_bytes // 8,
    )
    with_text = (
        records.filter(pl.col("text").is_not_null())
        .select("content_id", "text")
        .with_row_index("at")
    )
    # one row a content: copies of a text cost nothing here
    first = with_text.group_by("content_id").agg(pl.col("at").min()).collect(engine="streaming")

    def texts(chosen: pl.DataFrame = first) -> Iterator[tuple[pa.Array, pa.Array]]:
        rows = with_text.join(chosen.lazy().select("at"), on="at", how="semi")
        for batch in rows.collect_batches(chunk_size=BATCH):
            table = batch.to_arrow()
            yield table.column("content_id").combine_chunks(), table.column("text").combine_chunks()

    cache = SketchCache(run.scratch / "sketches", finder.scheme)
    known = cache.known(first["content_id"])
    done = 0
    for keys, values in texts(
        first.join(known.select(content_id="key"), on="content_id", how="anti")
    ):
        finder.add(values, keys)
        done += len(keys)
        run.report("deduplication", "sketching texts", done, None)
    cache.add(finder.sketches())
    finder.add_sketches(known)
    run.report("deduplication", "comparing texts", None, None)
    return finder.collapsed(texts), done


def _previously_held(run: Run) -> set[str]:
    before = None if run.base is None else run.base.scan(FATES)
    if before is None:
        return set()
    return set(
        before.filter(pl.col("fate") == "held_out").select("content_id").collect()["content_id"]
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
