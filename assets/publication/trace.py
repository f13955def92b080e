"""The whole way of one record, from file and row to fate, read from one release."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl

from assets.scoring.stored_scores import current

Scan = Callable[[str], pl.LazyFrame]
ContentOf = Callable[[str, int], str | None]
HeldAt = Callable[[str, int], tuple[str, str, int] | None]


class TraceError(ValueError):
    """Nothing in the release answers to what was asked for."""


def trace(
    scan: Scan,
    target: str,
    content_of: ContentOf | None = None,
    held_at: HeldAt | None = None,
) -> dict[str, Any]:
    """Tell a record's way.

    Parameters
    ----------
    scan
        Scans a table at the release's version.
    target
        A `record_id`, or `TABLE#POSITION` with the position counted from 0.

    content_of
        Reads one row of a table that was not read into records and returns its content id.
    held_at
        Says from which row a retired table's row is rebuilt: parent, version of it, position.

    Returns
    -------
    dict
        `asked`, and then as far as they apply: `source`, `record`, `duplicates`, `cut`, `scores`, `pool`,
        `allocation`, `fate`,
        `published`, `held_out`; for a row that was set aside `quarantine`; for a row of a table that was not read again
        `contained` and `held_by`, the same answer for its twin in the table that holds it; for a row of a retired
        table `retired` (from which row it is rebuilt) and `held_by`.

    Raises
    ------
    TraceError
        When there is no such record or row.
    """
    answer: dict[str, Any] = {"asked": target}
    table, _, position = target.rpartition("#")
    if table and position.isdigit():
        found = _one(
            scan("deduplication/records"),
            (pl.col("table") == table) & (pl.col("position") == int(position)),
        )
        if found is None:
            return _without_record(scan, answer, table, int(position), content_of, held_at)
    else:
        found = _one(scan("deduplication/records"), pl.col("record_id") == target)
        if found is None:
            message = f"no record {target!r} in this release; give a record_id of 32 digits, or TABLE#POSITION"
            raise TraceError(message)
    return _way(scan, answer, found)


def _way(scan: Scan, answer: dict[str, Any], record: dict[str, Any]) -> dict[str, Any]:
    record_id = record["record_id"]
    this = pl.col("record_id") == record_id
    source = _one(scan("ingestion/tables"), pl.col("table") == record["table"])
    answer["source"] = _pick(source, "table", "uri", "format", "version")
    answer["record"] = {k: v for k, v in record.items() if v is not None}
    twin = _one(scan("deduplication/duplicates"), this)
    if twin is not None:
        answer["duplicates"] = {k: v for k, v in twin.items() if k != "record_id"}
    answer |= _cut(scan, this)
    for key, table in (("scores", "scoring/scores"), ("pool", "filtering/pools")):
        rows = scan(table).filter(this)
        row = _one(current(rows) if key == "scores" else rows, this)
        if row is not None:
            answer[key] = {k: v for k, v in row.items() if k != "record_id"}
    if "pool" in answer:
        group, pool = answer["pool"].get("group"), answer["pool"]["pool"]
        # without a policy there are no groups, and the plan's cells have none either
        cell = _one(
            scan("allocation/plan"),
            pl.col("group").eq_missing(pl.lit(group, pl.String)) & (pl.col("pool") == pool),
        )
        if cell is not None:
            answer["allocation"] = cell
    line = _one(scan("publication/ledger"), this)
    answer["fate"] = _pick(line, "fate", "stage", "reason", "by")
    shown = _one(
        scan("publication/training_set").select("record_id", "passes", "weight", "source_version"),
        this,
    )
    if shown is not None:
        answer["published"] = _pick(shown, "passes", "weight", "source_version")
    return answer


def _cut(scan: Scan, this: pl.Expr) -> dict[str, Any]:
    """Tell which spans of a record were cut, which records keep them, and what is left."""
    try:
        cuts, left = scan("deduplication/cuts"), scan("deduplication/cut_records")
    except KeyError:  # a release of before records were cut
        return {}
    spans = cuts.filter(this).sort("start").collect(engine="streaming")
    if spans.is_empty():
        return {}
    now = _one(left.select("record_id", "content_id", "text"), this)
    told = spans.drop("record_id", "content_id").to_dicts()
    return {"cut": {"spans": told, **_pick(now, "content_id", "text")}}


def _without_record(
    scan: Scan,
    answer: dict[str, Any],
    table: str,
    position: int,
    content_of: ContentOf | None,
    held_at: HeldAt | None,
) -> dict[str, Any]:
    """Tell of a row that never became a record: set aside, held by another table, or of a retired table."""
    here = pl.col("table") == table
    aside = _one(scan("ingestion/quarantine"), here & (pl.col("position") == position))
    source = _one(scan("ingestion/tables"), here)
    if source is None:
        message = f"no table {table!r} in this release; ingestion/tables lists them"
        raise TraceError(message)
    answer["source"] = _pick(source, "table", "uri", "format", "version", "status", "error")
    if aside is not None:
        answer["quarantine"] = _pick(aside, "position", "reason")
        answer["fate"] = {"fate": "quarantined", "stage": "ingestion", "reason": aside["reason"]}
        return answer
    line = _one(
        scan("publication/ledger"),
        here & pl.col("record_id").is_null() & (pl.col("fate") == "contained"),
    )
    if line is not None and position < int(line["rows"]):
        answer["fate"] = _pick(line, "fate", "stage", "reason", "by")
        edge = _one(
            scan("containment/edges"), (pl.col("child") == table) & (pl.col("parent") == line["by"])
        )
        answer["contained"] = edge or {"child": table, "parent": line["by"]}
        content = content_of(table, position) if content_of is not None else None
        if source["status"] == "retired" or content is None:
            answer |= _rebuilt_from(scan, table, position, content_of, held_at)
        here = (pl.col("table") == line["by"]) & pl.col("content_id").eq(pl.lit(content, pl.String))
        twin = _one(scan("deduplication/records"), here) if content is not None else None
        if twin is not None:
            answer["held_by"] = _way(scan, {"asked": f"{twin['table']}#{twin['position']}"}, twin)
        return answer
    outside = _one(
        scan("publication/ledger"),
        here & pl.col("record_id").is_null() & (pl.col("fate") == "not_sampled"),
    )
    if outside is not None and position < int(source["rows"]) + int(source["rejected"]):
        answer["fate"] = _pick(outside, "fate", "stage", "reason")
        return answer
    if source["status"] == "retired" and position < int(source["rows"]):
        return answer | _rebuilt_from(scan, table, position, content_of, held_at)
    if source["status"] not in ("ok", "retired"):
        answer["fate"] = {"fate": "quarantined", "stage": "ingestion", "reason": source["error"]}
        return answer
    message = f"table {table!r} has {source['rows']} rows and no record at position {position}"
    if line is None and source["rows"] is not None and position < int(source["rows"]):
        message = f"table {table!r} is read by no rule of this recipe (or its role is ignore)"
    raise TraceError(message)


def _rebuilt_from(
    scan: Scan,
    table: str,
    position: int,
    content_of: ContentOf | None,
    held_at: HeldAt | None,
) -> dict[str, Any]:
    """Tell from which row of which table a row of a retired one is rebuilt, and the way of that row."""
    place = held_at(table, position) if held_at is not None else None
    if place is None:
        return {}
    parent, version, at = place
    told: dict[str, Any] = {
        "retired": {"parent": parent, "parent_version": version, "parent_position": at}
    }
    now = _one(scan("ingestion/tables"), pl.col("table") == parent)
    if now is None or now["version"] != version:
        told["retired"]["note"] = (
            "in this release the parent has another version, so its rows may have moved"
        )
        return told
    try:
        told["held_by"] = trace(scan, f"{parent}#{at}", content_of, held_at)
    except TraceError as error:
        told["retired"]["note"] = str(error)
    return told


def _one(frame: pl.LazyFrame, predicate: pl.Expr) -> dict[str, Any] | None:
    rows = frame.filter(predicate).head(1).collect(engine="streaming").to_dicts()
    return rows[0] if rows else None


def _pick(row: dict[str, Any] | None, *names: str) -> dict[str, Any]:
    return {} if row is None else {name: row[name] for name in names if row.get(name) is not None}
