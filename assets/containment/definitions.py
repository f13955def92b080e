"""The containment stage: `containment/edges`, `containment/unions`, `containment/retention`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg
import polars as pl

from assets.containment.planning import (
    at_versions,
    planned_tables,
    prices_told,
    stated_costs,
    unions_at_versions,
)
from assets.ingestion.listing import listing, pinned_tables
from assets.ingestion.register import READER_VERSION
from assets.kernels.cell_hash import SCHEME, UnhashableColumnError
from resources.dagster_stage import Facts, Naming, TableInfo, stage_asset
from resources.recipe import Recipe
from resources.run import Run
from resources.stage import Stage
from resources.stage_spec import CheckOutcome, StageSpec

EDGES, UNIONS, RETENTION = "containment/edges", "containment/unions", "containment/retention"
MIN_CONTAINMENT = 0.5
RENAMED_CONTAINMENT = 0.9


def _renamed(run: Run) -> object:
    return run.recipe.containment.renamed


SPEC = StageSpec(
    name="containment",
    tables=(EDGES, UNIONS),
    reads=("ingestion/tables", "ingestion/columns"),
    code_version=f"2+{SCHEME}",
    layer="lake",
    extra=_renamed,
)


def _stated_costs(run: Run) -> object:
    """Identity of what the cost table states."""
    costs = stated_costs(run.recipe)
    return [[row.pattern, row.values, row.pinned] for row in costs.rows]


RETENTION_SPEC = StageSpec(
    name="containment/retention",
    tables=(RETENTION,),
    reads=("ingestion/tables", "ingestion/columns", EDGES, UNIONS),
    code_version="1",
    layer="lake",
    sections=("records",),
    extra=_stated_costs,
)
SPECS = (SPEC, RETENTION_SPEC)
UNION_SCHEMA: dict[str, Any] = {
    "child": pl.String,
    "parents": pl.List(pl.String),
    "versions": pl.List(pl.String),
    "containment": pl.Float64,
    "multiset_containment": pl.Float64,
    "child_rows": pl.Int64,
}


def compute(run: Run, stage: Stage) -> Facts:
    """Search the lake for contained tables."""
    from assets.containment.described import Described, described_columns, described_statistics
    from assets.containment.edges import PairCounter
    from assets.containment.hash_parts import PartStore
    from assets.containment.pair_ledger import PairLedger
    from assets.containment.registered_parts import pinned_sources, registered_parts
    from assets.containment.renamed import renamed_edges
    from assets.containment.search import find_edges
    from assets.containment.shared_files import FileProofs
    from assets.containment.union_search import find_unions

    tables, read = pinned_tables(run)
    columns = run.read("ingestion/columns")
    rows = {name: table.rows for name, table in tables.items()}
    facts, statistics = described_columns(columns, rows), described_statistics(columns, rows)
    described = {
        name: Described(
            name,
            # the number of a Delta version says nothing of the table that it belongs to
            table.fingerprint if table.format == "delta" else table.version,
            table.rows,
            {column: fact.family for column, fact in facts[name].items()},
            facts[name],
            statistics[name],
            table.bytes,
        )
        for name, table in tables.items()
    }
    limits = run.recipe.limits
    sources = pinned_sources(tables, listing(run).sources)
    types = {n: {c: f.type for c, f in own.items()} for n, own in facts.items()}
    store = PartStore(
        described,
        read,
        "value",
        run.scratch,
        workers=limits.workers,
        tolerate=(UnhashableColumnError,),
        parts=registered_parts(sources),
        cost=lambda table: described[table].bytes,
    )

    def progress(told: str, done: int, total: int) -> None:
        run.report("containment", told, done, total)

    found = find_edges(
        described,
        store,
        proofs=FileProofs(sources, types),
        ledger=PairLedger(run.scratch, f"value:{SCHEME}:{READER_VERSION}"),
        min_containment=MIN_CONTAINMENT,
        workers=limits.workers,
        count_bytes=limits.memory_bytes // 4,
        progress=progress,
    )
    stages, edges = found.stages, found.edges
    if run.recipe.containment.renamed:
        others, stage_row = renamed_edges(
            described,
            PairCounter(store, limits.workers, limits.memory_bytes // 4),
            min_containment=RENAMED_CONTAINMENT,
            progress=progress,
        )
        edges = pl.concat([edges, others]).sort("child", "parent")
        stages = pl.concat([stages, pl.DataFrame([stage_row])])
    versions = {name: table.version for name, table in tables.items()}
    edges = edges.drop("low", "high").with_columns(
        child_version=pl.col("child").replace_strict(versions, return_dtype=pl.String),
        parent_version=pl.col("parent").replace_strict(versions, return_dtype=pl.String),
    )
    listed = pl.col("parents").list.eval(
        pl.element().replace_strict(versions, return_dtype=pl.String)
    )
    unions = find_unions(found, described).with_columns(versions=listed).select(*UNION_SCHEMA)
    stage.put(EDGES, edges)
    stage.put(UNIONS, unions)
    _audit(stage, edges)
    told: dict[str, Any] = {
        "edges": edges.height,
        "contained": edges.filter(pl.col("containment") == 1).height,
        "coincidences_left_out": found.coincidences,
        "not_compared": ", ".join(f"{name}: {why}" for name, why in sorted(found.failed.items())),
        "search": dg.MetadataValue.md(_stages(stages)),
    }
    return {
        EDGES: told,
        UNIONS: {"covered_by_unions": unions.height},
    }


def compute_retention(run: Run, stage: Stage) -> Facts:
    """Plan which tables need not be kept."""
    from assets.containment.retention import plan_retention, totals

    tables, _ = pinned_tables(run)
    versions = {name: table.version for name, table in tables.items()}
    costs = stated_costs(run.recipe)
    retired = run.read("ingestion/tables", ["status", "parents"]).filter(status="retired")
    planned = planned_tables(
        run.recipe,
        {name: table.bytes for name, table in tables.items()},
        {name: table.columns for name, table in tables.items()},
        costs,
        needed=set(retired["parents"].explode().drop_nulls()),
    )
    plan = plan_retention(
        planned,
        at_versions(run.read(EDGES), versions),
        unions_at_versions(run.read(UNIONS), versions),
    )
    stage.put(RETENTION, plan)
    _audit_plan(stage, plan)
    could_go = plan.filter(pl.col("decision") == "retire")
    told = totals(plan)
    return {
        RETENTION: {
            "retire": could_go.height,
            "bytes_saved": int(could_go["bytes"].sum()),
            "cost_of_keeping_all": told.keep_all,
            "cost": told.cost,
            "least_possible_cost": told.bound,
            "gap": told.gap,
            "optimality": told.told,
            "prices": prices_told(plan, costs),
        }
    }


def _stages(stages: pl.DataFrame) -> str:
    lines = ["| " + " | ".join(name.replace("_", " ") for name in stages.columns) + " |"]
    lines.append("|---" * stages.width + "|")
    for row in stages.iter_rows():
        cells = [f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _audit(stage: Stage, edges: pl.DataFrame) -> None:
    stage.check(
        "fractions_are_fractions",
        edges.filter(~pl.col("containment").is_between(0, 1)).is_empty()
        and edges.select(pl.struct("child", "parent").is_duplicated().any()).item() is not True,
        edges=edges.height,
    )


def _audit_plan(stage: Stage, retention: pl.DataFrame) -> None:
    kept = set(retention.filter(pl.col("decision") == "keep")["table"])
    orphans = [
        row["table"]
        for row in retention.filter(pl.col("decision") == "retire").iter_rows(named=True)
        if not row["parents"] or not set(row["parents"]) <= kept
    ]
    stage.check("retired_tables_have_kept_parents", not orphans, orphans=", ".join(orphans[:5]))


INFO = {
    EDGES: TableInfo(
        "One row a pair of tables in which the parent holds at least half of the child's distinct rows.",
        {
            "child": "string: table",
            "parent": "string: table",
            "containment": "double: share of the child's distinct rows that the parent holds",
            "multiset_containment": "double: the same, repeated rows counted",
            "exact": "bool: every row was compared",
            "equality": "string: strictest equality that holds: typed or value",
            "column_map": "string: JSON, child column to parent column",
            "child_rows": "int64: rows",
            "parent_rows": "int64: rows",
            "witness": "int64: a row of the child (from 0, of those read) that the parent lacks; null if none",
            "parent_containment": "double: share of the parent's distinct rows, on the child's columns, in the child",
            "jaccard": "double: shared distinct rows over those of either, on the child's columns",
            "child_version": "string: version compared",
            "parent_version": "string: version compared",
        },
    ),
    UNIONS: TableInfo(
        "One row a table that no other holds, but two or three together do.",
        {
            "child": "string: table",
            "parents": "list: tables that hold it together",
            "versions": "list: their versions",
        },
    ),
    RETENTION: TableInfo(
        "One row a table: keep it, or retire it and rebuild it when read. Prices that nobody stated are examples.",
        {
            "table": "string: table",
            "decision": "string: keep or retire",
            "parents": "list: what it is rebuilt from",
            "saving": "double: per period",
            "rebuild_latency": "double: seconds",
            "break_even_accesses": "double: accesses a period above which keeping it is cheaper, all else as decided",
            "break_even_storage_per_gb": "double: price of its gigabyte below which keeping it is cheaper",
            "reason": "string: why",
            "bytes": "int64: size",
            "cost": "double: of a period, as decided",
            "examples": "list: inputs that no cost table states, for which examples stand in",
            "component": "int64: tables that were decided together have the same",
            "method": "string: alone, forest or integer program",
            "gap": "double: the component's cost is at most this share above the least possible; 0 is proven optimal",
        },
    ),
}
CHECKS = {"fractions_are_fractions": "containment lies in 0..1 and no pair comes twice"}
PLAN_CHECKS = {
    "retired_tables_have_kept_parents": "what is to be retired can be rebuilt from what is kept",
}


STANDING = {
    "retired_tables_can_be_rebuilt": "whatever retired tables are rebuilt from is there, and passes its hash",
    "parents_have_not_moved": "the parents of retired tables are in the lake as they were when rows were proven",
}


def recheck(run: Run) -> list[CheckOutcome]:
    """Look after retired tables: in every run, since files are damaged and moved without any run."""
    from assets.containment.retired_checks import damaged, known_records, moved

    tables = run.read("ingestion/tables", ["table", "status", "version"])
    of = {
        status: dict(tables.filter(status=status).select("table", "version").iter_rows())
        for status in ("ok", "retired")
    }
    known, faults = known_records(run.state, of["retired"], of["ok"])
    faults |= damaged(known)
    changed = moved(known, of["ok"])
    for told in (faults, changed):
        for table, why in told.items():
            run.report("containment", f"the retired table {table}: {why}", None, None)
    return [
        _outcome("retired_tables_can_be_rebuilt", of["retired"], faults, blocking=True),
        _outcome("parents_have_not_moved", of["retired"], changed, blocking=False),
    ]


def _outcome(
    name: str, retired: Mapping[str, str], told: Mapping[str, str], *, blocking: bool
) -> CheckOutcome:
    listed = "; ".join(f"{table}: {why}" for table, why in sorted(told.items())[:5])
    facts = {"retired": len(retired), "at_fault": len(told), "which": listed}
    return CheckOutcome(name, not told, facts, blocking)


def define(
    recipe: Recipe, naming: Naming, specs: Mapping[str, StageSpec]
) -> list[dg.AssetsDefinition]:
    """Make the stage's assets."""
    return [
        stage_asset(
            SPEC, naming, specs, compute, INFO, checks=CHECKS, standing=STANDING, recheck=recheck
        ),
        stage_asset(
            RETENTION_SPEC,
            naming,
            specs,
            compute_retention,
            INFO,
            checks=PLAN_CHECKS,
            deps=(EDGES, UNIONS),
        ),
    ]
