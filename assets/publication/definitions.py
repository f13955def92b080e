"""The publication stage: the training set, the held-out rows, the ledger, the card, and last the release."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any

import dagster as dg
import polars as pl
import pyarrow as pa

from assets.deduplication.cut_records import going_on
from assets.publication.ledger import LEDGER, record_lines, table_lines, unbalanced
from assets.publication.selection import select_records
from resources.dagster_stage import Facts, Naming, TableInfo, stage_asset
from resources.delta_types import frame_schema
from resources.recipe import Recipe
from resources.releases import RELEASES
from resources.rules import matching_rule
from resources.run import Run
from resources.stage import Stage
from resources.stage_spec import StageSpec
from resources.version import CODE_VERSION

TRAINING, HOLDOUT, LEDGER_TABLE = (
    "publication/training_set",
    "publication/holdout",
    "publication/ledger",
)
INGESTION = ("ingestion/tables", "ingestion/columns", "ingestion/quarantine")
CONTAINMENT = ("containment/edges", "containment/unions", "containment/retention")
DEDUPLICATION = (
    "deduplication/records",
    "deduplication/duplicates",
    "deduplication/fates",
    "deduplication/contained",
    "deduplication/clusters",
    "deduplication/contamination",
    "deduplication/spans",
    "deduplication/cuts",
    "deduplication/cut_records",
)
SCORING = ("scoring/embeddings", "scoring/scores", "scoring/calibration", "scoring/silences")
FILTERING = (
    "filtering/pools",
    "filtering/calibration",
    "filtering/curves",
    "filtering/laws",
    "filtering/plan",
    "filtering/analysis",
)
ALLOCATION = ("allocation/group_curves", "allocation/plan", "allocation/report")
PUBLISHED_SPEC = StageSpec(
    name="publication",
    tables=(TRAINING, HOLDOUT, LEDGER_TABLE),
    reads=(
        "ingestion/tables",
        "ingestion/quarantine",
        "deduplication/records",
        "deduplication/fates",
        "deduplication/contained",
        "deduplication/cuts",
        "deduplication/cut_records",
        "filtering/pools",
        "allocation/plan",
    ),
    code_version="2",
    layer="recipe",
    sections=("records", "allocation"),
)
RELEASES_SPEC = StageSpec(
    name="publication/releases",
    tables=(RELEASES,),
    reads=(
        *INGESTION,
        *CONTAINMENT,
        *DEDUPLICATION,
        *SCORING,
        *FILTERING,
        *ALLOCATION,
        *PUBLISHED_SPEC.tables,
    ),
    code_version="1",
    layer="recipe",
    append=True,
)
SPECS = (PUBLISHED_SPEC, RELEASES_SPEC)
BATCH = 20_000
MOST_SHRINK = 0.2


def compute_publication(run: Run, stage: Stage) -> Facts:
    """Follow the plan: choose the records, write them and the held-out ones, and account for every row."""
    recipe = run.recipe
    fates = run.read("deduplication/fates")
    pools = run.read("filtering/pools")
    plan = run.read("allocation/plan")
    candidates = pools.filter(~pl.col("held_out")).select("record_id", "group", "pool", "quality")
    within = recipe.allocation.within if recipe.allocation is not None else "hash"
    selected = select_records(candidates, plan, seed=recipe.seed, within=within)
    _write_rows(run, stage, TRAINING, pools.join(selected, on="record_id"), shown=True)
    held = pools.filter("held_out").with_columns(passes=pl.lit(0, pl.Int64))
    _write_rows(run, stage, HOLDOUT, held, shown=False)
    cuts = run.scan("deduplication/cuts").group_by("record_id").len(name="cuts").collect()
    lines = record_lines(fates, selected, _left_out(candidates, selected, plan), cuts)
    tables = run.read("ingestion/tables")
    read = read_tables(run, tables)
    aside = run.scan("ingestion/quarantine").select("table", "position", "reason")
    others = table_lines(
        run.read("deduplication/contained"),
        aside.filter(pl.col("table").is_in(read)).collect(),
        tables.select("table", "rows"),
    )
    ledger = stage.open(LEDGER_TABLE, frame_schema(pl.DataFrame(schema=LEDGER)))
    ledger.write(lines)
    ledger.write(others)
    ledger.close()
    _audit(run, stage, tables, selected, plan, pools)
    counts = lines.group_by("fate").len().sort("fate")
    return {
        TRAINING: {"showings": int(selected["passes"].sum()), "records": selected.height},
        HOLDOUT: {"records": held.height},
        LEDGER_TABLE: {f"rows_{fate}": rows for fate, rows in counts.iter_rows()},
    }


def _write_rows(run: Run, stage: Stage, table: str, chosen: pl.DataFrame, *, shown: bool) -> None:
    """Stream the chosen records' wide columns into a table; only the narrow choice is held in memory."""
    recipe = run.recipe
    versions = run.scan("ingestion/tables").select("table", source_version="version")
    columns = [
        "record_id",
        "content_id",
        "text",
        "features",
        "uri",
        "label",
        *recipe.group_names,
        *recipe.kept_columns,
        "pool",
        "quality",
        *(["passes", "weight"] if shown else []),
        "table",
        "position",
        "source_version",
    ]
    types: dict[str, pa.DataType] = {
        "features": pa.list_(pa.float64()),
        "pool": pa.int32(),
        "quality": pa.float64(),
        "passes": pa.int64(),
        "weight": pa.float64(),
        "position": pa.int64(),
    }
    staged = stage.open(
        table, pa.schema([(name, types.get(name, pa.string())) for name in columns])
    )
    narrow = chosen.select("record_id", "pool", "quality", "passes").with_columns(
        weight=pl.lit(1.0)
    )
    joined = (
        going_on(run.scan)
        .join(narrow.lazy(), on="record_id", how="inner")
        .join(versions, on="table", how="left")
        .select(columns)
    )
    for batch in joined.collect_batches(chunk_size=BATCH):
        staged.write(batch)
        run.report("publication", f"writing {table}", staged.rows, chosen.height)
    staged.close()


def _left_out(candidates: pl.DataFrame, selected: pl.DataFrame, plan: pl.DataFrame) -> pl.DataFrame:
    """Say for every survivor that is not shown whether its pool or its group's share left it out."""
    used = plan.group_by("pool").agg(drawn=pl.col("samples").sum())
    cells = plan.select("group", "pool", cell_records="records", cell_available="available")
    rest = (
        candidates.join(selected.select("record_id"), on="record_id", how="anti")
        .join(used, on="pool", how="left")
        .join(cells, on=["group", "pool"], how="left")
    )
    unwanted = pl.col("drawn").fill_null(0) == 0
    return rest.select(
        "record_id",
        fate=pl.when(unwanted).then(pl.lit("filtered")).otherwise(pl.lit("not_allocated")),
        stage=pl.when(unwanted).then(pl.lit("filtering")).otherwise(pl.lit("allocation")),
        reason=pl.when(unwanted)
        .then(pl.format("pool {} is not worth training on at this budget", "pool"))
        .otherwise(
            pl.format(
                "the plan shows {} of {} records of group {}, pool {}",
                pl.col("cell_records").fill_null(0),
                pl.col("cell_available").fill_null(0),
                "group",
                "pool",
            )
        ),
    )


def read_tables(run: Run, tables: pl.DataFrame) -> list[str]:
    """Return the tables that a rule of the recipe reads, readable or not: what the ledger answers for."""
    rules = run.recipe.records
    return [
        name
        for name in tables["table"]
        if (index := matching_rule(rules, name)) is not None and rules[index].role != "ignore"
    ]


def _audit(
    run: Run,
    stage: Stage,
    tables: pl.DataFrame,
    selected: pl.DataFrame,
    plan: pl.DataFrame,
    pools: pl.DataFrame,
) -> None:
    read = read_tables(run, tables)
    counted = tables.filter(pl.col("table").is_in(read)).select("table", "counted")
    off = unbalanced(stage.staged(LEDGER_TABLE), counted)
    stage.check(
        "nothing_is_lost",
        off.is_empty(),
        tables=counted.height,
        rows_counted=int(counted["counted"].sum()),
        differ=json.dumps(off.head(5).to_dicts()),
        sample=run.sample if run.sample is not None else "all records",
    )
    planned = int(plan["samples"].sum())
    shown = int(selected["passes"].sum())
    written = stage.rows(TRAINING) == selected.height
    stage.check("the_plan_is_followed", shown == planned and written, planned=planned, shown=shown)
    before = run.previous("filtering/pools")
    lost: dict[str, float] = {}
    if before is not None:
        old = dict(before.group_by("group").len().collect().iter_rows())
        new = dict(pools.group_by("group").len().iter_rows())
        lost = {str(g): round(1 - new.get(g, 0) / n, 4) for g, n in sorted(old.items())}
    worst = max(lost.values(), default=0.0)
    stage.check(
        "no_group_has_shrunk",
        run.accept_shrink or worst <= MOST_SHRINK,
        worst=worst,
        groups=json.dumps({g: share for g, share in lost.items() if share > MOST_SHRINK}),
        remedy="if this is meant, run again with --accept-shrink, or in the UI with the tag sluice/accept_shrink: true",
    )


def compute_release(run: Run, stage: Stage) -> Facts:
    """Write the card, then the one row that makes everything else count."""
    number = (run.release["release"] + 1) if run.release is not None else 1
    versions = {table: run.committed(table).version for table in RELEASES_SPEC.reads}
    ledger = run.scan(LEDGER_TABLE).group_by("fate").agg(pl.col("rows").sum()).collect()
    rows = {fate: int(count or 0) for fate, count in sorted(ledger.iter_rows())}
    calibration = run.read("filtering/calibration", ["calibration"])
    row = {
        "release": number,
        "run_id": run.run_id,
        "recipe_hash": run.recipe.hash,
        "code_version": CODE_VERSION,
        "versions": json.dumps(versions, sort_keys=True),
        "calibration": calibration["calibration"][0],
        "rows": json.dumps(rows),
        "time": dt.datetime.now(dt.UTC),
        "recipe": run.recipe.model_dump_json(exclude={"limits"}),
    }
    from assets.publication.facts import write_card

    card = write_card(run, row, versions)
    stage.put(RELEASES, pl.DataFrame([row], schema=RELEASE_SCHEMA, orient="row"))
    stage.check(
        "versions_are_complete", len(versions) == len(RELEASES_SPEC.reads), tables=len(versions)
    )
    return {
        RELEASES: {
            "release": number,
            "card": dg.MetadataValue.path(str(card)),
            **{f"rows_{fate}": count for fate, count in rows.items()},
        }
    }


RELEASE_SCHEMA: dict[str, Any] = {
    "release": pl.Int64,
    "run_id": pl.String,
    "recipe_hash": pl.String,
    "code_version": pl.String,
    "versions": pl.String,
    "calibration": pl.String,
    "rows": pl.String,
    "time": pl.Datetime("us", "UTC"),
    "recipe": pl.String,
}
_RECORD_COLUMNS = {
    "record_id": "string: record",
    "content_id": "string: content",
    "text": "string: what is learned from",
    "features": "list: or numbers",
    "uri": "string: or an address",
    "label": "string: label",
    "pool": "int32: quality pool, 0 the best",
    "quality": "double: combined score",
    "table": "string: source table",
    "position": "int64: row in it",
    "source_version": "string: version of the source table",
}
INFO = {
    TRAINING: TableInfo(
        "One row a record to train on. Read it at the version that publication/releases names.",
        {
            **_RECORD_COLUMNS,
            "passes": "int64: how often it is shown in one run of the plan",
            "weight": "double: loss weight",
        },
    ),
    HOLDOUT: TableInfo("One row a record that is held out, always.", _RECORD_COLUMNS),
    LEDGER_TABLE: TableInfo(
        "One row a record, contained table or quarantined file: what became of it, and why.",
        {
            "record_id": "string: record, or null for a table",
            "table": "string: source table",
            "fate": "string: published, held_out, evaluation, duplicate, contaminated, contained, ...",
            "stage": "string: which stage decided",
            "reason": "string: why",
            "by": "string: record or table in whose favour",
            "rows": "int64: rows it stands for",
        },
    ),
    RELEASES: TableInfo(
        "One row a release, written last: only what it names is promised to fit together.",
        {
            "release": "int64: number",
            "run_id": "string: run",
            "recipe_hash": "string: of the recipe",
            "code_version": "string: of the code",
            "versions": "string: JSON, table to Delta version",
            "calibration": "string: identity of the fitted states and the pool cuts",
            "rows": "string: JSON, rows by fate",
            "time": "timestamp: when",
            "recipe": "string: JSON, the recipe",
        },
    ),
}


def define(
    recipe: Recipe, naming: Naming, specs: Mapping[str, StageSpec]
) -> list[dg.AssetsDefinition]:
    """Make the stage's assets."""
    return [
        stage_asset(
            PUBLISHED_SPEC,
            naming,
            specs,
            compute_publication,
            INFO,
            checks={
                "nothing_is_lost": "rows counted independently = ledger records + contained + quarantined",
                "the_plan_is_followed": "showings are exactly those of allocation/plan",
                "no_group_has_shrunk": "no group lost more than 20 % of its records since the last release",
            },
        ),
        stage_asset(
            RELEASES_SPEC,
            naming,
            specs,
            compute_release,
            INFO,
            checks={"versions_are_complete": "the release names every table's version"},
            deps=PUBLISHED_SPEC.tables,  # all else lies upstream of these
        ),
    ]


COMPUTES = ((PUBLISHED_SPEC, compute_publication), (RELEASES_SPEC, compute_release))
