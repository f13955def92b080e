"""The containment stage: `containment/edges`, `containment/unions`, `containment/retention`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg
import polars as pl

from assets.ingestion.listing import pinned_tables
from assets.kernels.cell_hash import SCHEME, UnhashableColumnError
from resources.dagster_stage import Facts, Naming, TableInfo, stage_asset
from resources.recipe import Recipe
from resources.run import CheckOutcome, Run, Stage, StageSpec

EDGES, UNIONS, RETENTION = "containment/edges", "containment/unions", "containment/retention"
MIN_CONTAINMENT = 0.5
SPEC = StageSpec(
    name="containment",
    tables=(EDGES, UNIONS, RETENTION),
    reads=("ingestion/tables", "ingestion/columns"),
    code_version=f"1+{SCHEME}",
    layer="lake",
)
SPECS = (SPEC,)
UNION_SCHEMA: dict[str, Any] = {
    "child": pl.String,
    "parents": pl.List(pl.String),
    "versions": pl.List(pl.String),
    "containment": pl.Float64,
    "multiset_containment": pl.Float64,
    "child_rows": pl.Int64,
}


def compute(run: Run, stage: Stage) -> Facts:
    """Search the lake for contained tables, and plan which of them need not be kept."""
    from assets.containment.described import Described, described_columns, described_statistics
    from assets.containment.hash_store import HashStore
    from assets.containment.retention import plan_retention
    from assets.containment.search import find_edges

    tables, read = pinned_tables(run)
    columns = run.read("ingestion/columns")
    rows = {name: table.rows for name, table in tables.items()}
    facts, statistics = described_columns(columns, rows), described_statistics(columns, rows)
    described = {
        name: Described(
            name,
            table.version,
            table.rows,
            {column: fact.family for column, fact in facts[name].items()},
            facts[name],
            statistics[name],
            table.bytes,
        )
        for name, table in tables.items()
    }
    limits = run.recipe.limits
    found = find_edges(
        described,
        HashStore(
            described,
            read,
            "value",
            run.scratch,
            workers=limits.workers,
            tolerate=(UnhashableColumnError,),
        ),
        min_containment=MIN_CONTAINMENT,
        workers=limits.workers,
        count_bytes=limits.memory_bytes // 4,
        progress=lambda told, done, total: run.report("containment", told, done, total),
    )
    versions = {name: table.version for name, table in tables.items()}
    edges = found.edges.with_columns(
        child_version=pl.col("child").replace_strict(versions, return_dtype=pl.String),
        parent_version=pl.col("parent").replace_strict(versions, return_dtype=pl.String),
    )
    unions = _unions(found, described, versions)
    needed = run.scan("ingestion/tables").filter(pl.col("status") == "retired")
    parents = set(needed.select(pl.col("parents").explode()).collect()["parents"])
    sizes = pl.DataFrame(
        {
            "table": list(tables),
            "bytes": [t.bytes for t in tables.values()],
            "pinned": [name in parents for name in tables],
        },
        schema={"table": pl.String, "bytes": pl.Int64, "pinned": pl.Boolean},
    )
    retention = plan_retention(sizes, edges, unions)
    stage.put(EDGES, edges)
    stage.put(UNIONS, unions)
    stage.put(RETENTION, retention)
    _audit(stage, edges, retention)
    saved = retention.filter(pl.col("decision") == "retire")
    told: dict[str, Any] = {
        "edges": edges.height,
        "contained": edges.filter(pl.col("containment") == 1).height,
        "coincidences_left_out": found.coincidences,
        "not_compared": ", ".join(f"{name}: {why}" for name, why in sorted(found.failed.items())),
        "search": dg.MetadataValue.md(_stages(found.stages)),
    }
    return {
        EDGES: told,
        UNIONS: {"covered_by_unions": unions.height},
        RETENTION: {"retire": saved.height, "bytes_saved": int(saved["bytes"].sum())},
    }


def _stages(stages: pl.DataFrame) -> str:
    lines = ["| " + " | ".join(name.replace("_", " ") for name in stages.columns) + " |"]
    lines.append("|---" * stages.width + "|")
    for row in stages.iter_rows():
        cells = [f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _unions(found: Any, described: Mapping[str, Any], versions: Mapping[str, str]) -> pl.DataFrame:  # noqa: ANN401
    """Cover tables that no single table holds; each family on the columns of its children."""
    from assets.containment.unions import union_covers

    exact = found.edges.filter(pl.col("containment") == 1).select("child", "parent").rows()
    covers = []
    for columns, names in found.families.items():
        children = [n for n in names if tuple(sorted(described[n].keys)) == columns]
        hashes = {n: found.hashes(n, columns) for n in names}
        if len(names) > 2 and len(columns) > 1:
            covers.append(union_covers(hashes, exact, children=children))
    parts = [c.select(*[n for n in UNION_SCHEMA if n != "versions"]) for c in covers if c.height]
    empty = {n: t for n, t in UNION_SCHEMA.items() if n != "versions"}
    covered = pl.concat(parts) if parts else pl.DataFrame(schema=empty)
    listed = pl.col("parents").list.eval(
        pl.element().replace_strict(versions, return_dtype=pl.String)
    )
    return covered.with_columns(versions=listed).select(*UNION_SCHEMA).sort("child")


def _audit(stage: Stage, edges: pl.DataFrame, retention: pl.DataFrame) -> None:
    stage.check(
        "fractions_are_fractions",
        edges.filter(~pl.col("containment").is_between(0, 1)).is_empty()
        and edges.select(pl.struct("child", "parent").is_duplicated().any()).item() is not True,
        edges=edges.height,
    )
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
        "One row a table: keep it, or retire it and rebuild it when it is read. Example prices.",
        {
            "table": "string: table",
            "decision": "string: keep or retire",
            "parents": "list: what it is rebuilt from",
            "saving": "double: per period, at the stated prices",
            "rebuild_latency": "double: seconds",
            "reason": "string: why",
        },
    ),
}
CHECKS = {
    "fractions_are_fractions": "containment lies in 0..1 and no pair comes twice",
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
        )
    ]
