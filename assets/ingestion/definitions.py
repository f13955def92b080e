"""The ingestion stage: `ingestion/tables`, `ingestion/columns`, `ingestion/quarantine`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import dagster as dg
import polars as pl

from assets.ingestion.listing import listing, read_options
from assets.ingestion.model import ReadOptions, Reject, Retired, Source
from assets.ingestion.register import (
    READER_VERSION,
    Registered,
    blank_row,
    landed_name,
    options_digest,
    register,
)
from assets.ingestion.source_changes import fingerprint
from resources import delta
from resources.dagster_stage import Facts, Naming, TableInfo, stage_asset
from resources.delta_types import frame_schema
from resources.recipe import Recipe
from resources.run import Run
from resources.stage import Stage
from resources.stage_spec import StageSpec, digest
from resources.staged_table import StagedTable

TABLES, COLUMNS, QUARANTINE = "ingestion/tables", "ingestion/columns", "ingestion/quarantine"
TABLE_SCHEMA: dict[str, Any] = {
    "table": pl.String,
    "uri": pl.String,
    "format": pl.String,
    "compression": pl.String,
    "version": pl.String,
    "rows": pl.Int64,
    "bytes": pl.Int64,
    "columns": pl.Int64,
    "status": pl.String,
    "error": pl.String,
    "counted": pl.Int64,
    "rejected": pl.Int64,
    "fingerprint": pl.String,
    "options": pl.String,
    "data_uri": pl.String,
    "data_version": pl.Int64,
    "notes": pl.String,
    "parents": pl.List(pl.String),
}
COLUMN_SCHEMA = {
    "table": pl.String,
    "column": pl.String,
    "ordinal": pl.Int64,
    "type": pl.String,
    "nulls": pl.Int64,
    "min": pl.String,
    "max": pl.String,
    "bounds_exact": pl.Boolean,
}
QUARANTINE_SCHEMA = {
    "table": pl.String,
    "uri": pl.String,
    "position": pl.Int64,
    "reason": pl.String,
    "raw": pl.String,
}
MOST_SHRINK = 0.2


def _fingerprints(run: Run) -> object:
    found = listing(run)
    sources = [
        [s.table, fingerprint(s), options_digest(read_options(run.recipe, s.table))]
        for s in found.sources
    ]
    told: dict[str, object] = {
        "lake": run.recipe.lake,
        "sources": sources,
        "unreadable": [[u.table, u.reason] for u in found.unreadable],
    }
    if found.retired:
        told["retired"] = [[r.table, r.version, r.parents, r.reason] for r in found.retired]
    return told


SPEC = StageSpec(
    name="ingestion",
    tables=(TABLES, COLUMNS, QUARANTINE),
    reads=(),
    code_version=f"2+{READER_VERSION}",
    layer="lake",
    extra=_fingerprints,
)
SPECS = (SPEC,)


def compute(run: Run, stage: Stage) -> Facts:
    """Register every source: unchanged ones from the last time, new and changed ones by reading them."""
    found = listing(run)
    known = _Known(run)
    aside = stage.open(QUARANTINE, frame_schema(pl.DataFrame(schema=QUARANTINE_SCHEMA)))
    rows: list[dict[str, Any]] = []
    columns: list[dict[str, Any]] = []
    reused = 0
    for entry in found.unreadable:
        rows.append(blank_row(entry.table, str(entry.path), None, "quarantined", entry.reason))
        _set_aside(aside, entry.table, str(entry.path), [Reject(None, entry.reason, "")])
    rows += [_retired_row(entry) for entry in found.retired]
    for number, source in enumerate(found.sources):
        told = f"registering tables ({reused} unchanged)"
        run.report("ingestion", told, number, len(found.sources))
        options = read_options(run.recipe, source.table)
        old = known.find(source, options)
        if old is None:
            registered = _register(run, source, options, aside)
        else:
            registered, reused = old, reused + 1
            if old.table["rejected"] or old.table["status"] != "ok":
                aside.write(known.quarantined(source))
        if registered.table["status"] == "changed":
            registered = known.standing(source.table, registered)
        rows.append(registered.table)
        columns.extend(registered.columns)
    aside.close()
    tables = pl.DataFrame(rows, schema=TABLE_SCHEMA, orient="row").sort("table")
    stage.put(TABLES, tables)
    described = pl.DataFrame(columns, schema=COLUMN_SCHEMA, orient="row")
    stage.put(COLUMNS, described.sort("table", "ordinal"))
    content = tables.select("table", "version", "status", "rows", "rejected", "options")
    stage.identities = {table: digest([content.rows(), table]) for table in SPEC.tables}
    _audit(run, stage, tables)
    read = len(found.sources) - reused
    facts = {
        "tables": tables.height,
        "read": read,
        "unchanged": reused,
        "rows": int(tables["rows"].sum()),
        "bytes": int(tables["bytes"].sum()),
        "not_ok": tables.filter(~pl.col("status").is_in(["ok", "retired"])).height,
        "retired": tables.filter(pl.col("status") == "retired").height,
    }
    return {TABLES: facts, QUARANTINE: {"rows_set_aside": aside.rows}}


def _retired_row(entry: Retired) -> dict[str, Any]:
    """Describe a retired table: its rows count, and are said to be in its parents."""
    row = blank_row(entry.table, str(entry.path), None, "retired", entry.reason)
    there = 0 if entry.source is None else sum(file.bytes for file in entry.source.files)
    told = {"version": entry.version, "rows": entry.rows, "counted": entry.rows, "bytes": there}
    return {**row, **told, "parents": list(entry.parents)}


def _register(run: Run, source: Source, options: ReadOptions, aside: StagedTable) -> Registered:
    name = landed_name(source.table)
    place = run.state / "ingestion" / "landed" / name

    def progress(rows: int) -> None:
        run.report("ingestion", f"reading {source.table}, rows", rows, None)

    rejects: list[Reject] = []

    def reject(item: Reject) -> None:
        rejects.append(item)
        if len(rejects) >= 1000:
            _set_aside(aside, source.table, str(source.path), rejects)
            rejects.clear()

    registered = register(
        source,
        options,
        open_sink=lambda schema: StagedTable(place, schema),
        reject=reject,
        progress=progress,
    )
    _set_aside(aside, source.table, str(source.path), rejects)
    if registered.sink is not None:
        run.assert_held()
        # relative, so that a root can be moved
        registered.table["data_uri"] = f"ingestion/landed/{name}"
        found = delta.open_table(place)
        number = 0 if found is None else found.version() + 1
        note = {
            "table": {**registered.table, "data_version": number},
            "columns": registered.columns,
        }
        committed = registered.sink.commit({"run": run.run_id, "registered": note})
        registered.table["data_version"] = committed
    return registered


def _set_aside(aside: StagedTable, table: str, uri: str, rejects: list[Reject]) -> None:
    rows = [(table, uri, item.position, item.reason, item.raw) for item in rejects]
    aside.write(pl.DataFrame(rows, schema=QUARANTINE_SCHEMA, orient="row"))


class _Known:
    """What earlier runs found out about sources, so that an unchanged one is not read again."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._rows: dict[str, dict[str, Any]] = {}
        self._columns: dict[str, list[dict[str, Any]]] = {}
        self._aside: pl.LazyFrame | None = None
        # entries are keyed by source fingerprint, so any run's commits may be asked; but only commits of one stage
        # fingerprint belong together: a run killed between its commits leaves new tables beside old columns
        held = [
            {
                str(note["fingerprint"]): version
                for version, note in reversed([*delta.commits(run.uri(table))])
            }
            for table in SPEC.tables
        ]
        whole = set.intersection(*(set(versions) for versions in held))
        newest = next(
            (
                mark
                for mark in sorted(whole, key=lambda mark: held[0][mark], reverse=True)
                if all(
                    delta.is_whole(run.uri(table), versions[mark])
                    for table, versions in zip(SPEC.tables, held, strict=True)
                )
            ),
            None,
        )
        if newest is None:
            return
        tables, columns, aside = [
            delta.scan(run.uri(name), versions[newest])
            for name, versions in zip(SPEC.tables, held, strict=True)
        ]
        self._rows = {row["table"]: row for row in tables.collect().iter_rows(named=True)}
        for row in columns.collect().iter_rows(named=True):
            self._columns.setdefault(row["table"], []).append(row)
        self._aside = aside

    def find(self, source: Source, options: ReadOptions) -> Registered | None:
        wanted = (fingerprint(source), options_digest(options))
        row = self._rows.get(source.table)
        known = row is not None and (row["fingerprint"], row["options"]) == wanted
        if row is not None and known and row["status"] != "changed":
            # the lake may have been moved since
            return Registered({**row, "uri": str(source.path)}, self._columns.get(source.table, []))
        return self._landed(source, wanted)

    def _landed(self, source: Source, wanted: tuple[str, str]) -> Registered | None:
        """Find a table that a killed run had landed whole; one with rejected rows is read again to list them."""
        place = self.run.state / "ingestion" / "landed" / landed_name(source.table)
        for version, metadata in delta.commits(place, 1) if (place / "_delta_log").is_dir() else ():
            note = metadata.get("registered") or {}
            row = note.get("table") or {}
            same = (row.get("fingerprint"), row.get("options")) == wanted
            whole = not row.get("rejected") and not row.get("error")
            here = row.get("data_version") == version
            if same and whole and here and delta.is_whole(place, version):
                return Registered(row, note["columns"])
        return None

    def standing(self, table: str, changed: Registered) -> Registered:
        """Keep what the last run landed of a table that is being written to; its change waits for the next run."""
        row = self._rows.get(table)
        if row is None or row["status"] != "ok" or row["data_version"] is None:
            return changed
        return Registered({**row, "notes": changed.table["error"]}, self._columns.get(table, []))

    def quarantined(self, source: Source) -> pl.DataFrame:
        if self._aside is None:
            return pl.DataFrame(schema=QUARANTINE_SCHEMA)
        rows = self._aside.filter(pl.col("table") == source.table)
        return rows.with_columns(uri=pl.lit(str(source.path))).collect()


def unchanged_tables(run: Run) -> set[str]:
    """Return the tables of the lake that a run would take over from earlier ones without reading them."""
    known = _Known(run)
    return {
        source.table
        for source in listing(run).sources
        if known.find(source, read_options(run.recipe, source.table)) is not None
    }


def _audit(run: Run, stage: Stage, tables: pl.DataFrame) -> None:
    readable = tables.filter(pl.col("status") == "ok")
    off = readable.filter(pl.col("counted") != pl.col("rows") + pl.col("rejected"))
    stage.check(
        "rows_counted_independently",
        off.is_empty(),
        tables=readable.height,
        differ=json.dumps(off.select("table", "counted", "rows", "rejected").head(5).to_dicts()),
    )
    previous = run.previous(TABLES)
    lost_tables = lost_rows = 0.0
    if previous is not None:
        # what was retired since is not lost: its rows are in its parents
        retired = tables.filter(pl.col("status") == "retired")["table"].to_list()
        stood = (pl.col("status") == "ok") & ~pl.col("table").is_in(retired)
        before = previous.filter(stood).select("rows").collect()
        lost_tables = 1 - readable.height / before.height if before.height else 0.0
        total = int(before["rows"].sum())
        lost_rows = 1 - int(readable["rows"].sum()) / total if total else 0.0
    stage.check(
        "lake_has_not_shrunk",
        run.accept_shrink or max(lost_tables, lost_rows) <= MOST_SHRINK,
        lost_tables=round(lost_tables, 4),
        lost_rows=round(lost_rows, 4),
        remedy="if this is meant, run again with --accept-shrink, or in the UI with the tag sluice/accept_shrink: true",
    )
    share = _set_aside_share(tables, stage)
    stage.check(
        "little_is_set_aside",
        share <= run.recipe.max_quarantine,
        blocking=False,
        share=round(share, 6),
        max_quarantine=run.recipe.max_quarantine,
    )


def _set_aside_share(tables: pl.DataFrame, stage: Stage) -> float:
    total = int(tables["counted"].fill_null(0).sum()) + tables["counted"].null_count()
    return stage.rows(QUARANTINE) / total if total else 0.0


INFO = {
    TABLES: TableInfo(
        "One row a source table of the lake, readable or not.",
        {
            "table": "string: path relative to the lake",
            "uri": "string: where it is",
            "format": "string: parquet, delta, csv, tsv, json, jsonl or text",
            "version": "string: Delta version, hash of the bytes, or fingerprint of Parquet files",
            "rows": "int64: rows delivered",
            "bytes": "int64: size on disk",
            "columns": "int64: number of columns",
            "status": "string: ok, quarantined, retired, or changed while it was read",
            "error": "string: why",
            "counted": "int64: rows by footer, log or line scan, independent of the reader",
            "parents": "list: what a retired table is rebuilt from",
        },
    ),
    COLUMNS: TableInfo(
        "One row a column of a readable table.",
        {
            "table": "string: table",
            "column": "string: name",
            "type": "string: Arrow type (inferred for cells that were landed as text)",
            "nulls": "int64: nulls, or null where metadata doesn't say",
            "min": "string: least value",
            "max": "string: greatest value",
            "bounds_exact": "bool: whether min and max are values that occur",
        },
    ),
    QUARANTINE: TableInfo(
        "One row a file or row that was set aside.",
        {
            "table": "string: table",
            "uri": "string: file",
            "position": "int64: row, counted from 0; null for a whole file",
            "reason": "string: why",
            "raw": "string: the bytes as they stood, cut at 2,000 characters",
        },
    ),
}
CHECKS = {
    "rows_counted_independently": "rows delivered + rows set aside = rows by footer, log or line scan",
    "lake_has_not_shrunk": "no more than 20 % of tables or rows are gone since the last release",
    "little_is_set_aside": "no more than max_quarantine is set aside",
}


def define(
    recipe: Recipe, naming: Naming, specs: Mapping[str, StageSpec]
) -> list[dg.AssetsDefinition]:
    """Make the stage's assets."""
    return [
        stage_asset(
            SPEC, naming, specs, compute, INFO, checks=CHECKS, advisory=["little_is_set_aside"]
        )
    ]
