"""From which upstream columns the columns of a table come, as `table.column`; shown by Dagster on a column's page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_RECORDS, _POOLS = "deduplication/records", "filtering/pools"
_CUT = "deduplication/cut_records"
_CARRIED = ("record_id", "content_id", "text", "features", "uri", "label", "table", "position")
_PUBLISHED = {
    **{column: (f"{_RECORDS}.{column}",) for column in _CARRIED},
    **{column: (f"{_RECORDS}.{column}", f"{_CUT}.{column}") for column in ("content_id", "text")},
    "pool": (f"{_POOLS}.pool",),
    "quality": (f"{_POOLS}.quality",),
    "source_version": ("ingestion/tables.version",),
}
_CELLS = (f"{_POOLS}.group", f"{_POOLS}.pool")
_MEASURES = ("group", "samples_seen", "unique", "metric_value")
_EVALUATIONS = tuple(f"filtering/curves.{column}" for column in ("metric_value", "samples_seen"))

LINEAGE: Mapping[str, Mapping[str, Sequence[str]]] = {
    "containment/edges": {
        "child": ("ingestion/tables.table",),
        "parent": ("ingestion/tables.table",),
        "column_map": ("ingestion/columns.column",),
        "child_rows": ("ingestion/tables.rows",),
        "parent_rows": ("ingestion/tables.rows",),
        "child_version": ("ingestion/tables.version",),
        "parent_version": ("ingestion/tables.version",),
    },
    "containment/unions": {
        "child": ("ingestion/tables.table",),
        "parents": ("ingestion/tables.table",),
        "versions": ("ingestion/tables.version",),
    },
    "containment/retention": {
        "table": ("ingestion/tables.table",),
        "parents": ("ingestion/tables.table",),
        "saving": ("ingestion/tables.bytes",),
    },
    "deduplication/records": {"table": ("ingestion/tables.table",)},
    "deduplication/fates": {"table": ("ingestion/tables.table",)},
    "deduplication/contained": {
        "table": ("containment/edges.child",),
        "parent": ("containment/edges.parent",),
        "rows": ("ingestion/tables.rows",),
    },
    "scoring/embeddings": {
        "content_id": (f"{_RECORDS}.content_id",),
        "vector": (f"{_RECORDS}.text", f"{_RECORDS}.features"),
    },
    "scoring/scores": {
        "record_id": (f"{_RECORDS}.record_id",),
        "quality": (f"{_RECORDS}.text", f"{_RECORDS}.features", "scoring/embeddings.vector"),
        "redundancy": ("scoring/embeddings.vector",),
    },
    "filtering/pools": {
        "record_id": ("scoring/scores.record_id",),
        "pool": ("scoring/scores.quality",),
        "quality": ("scoring/scores.quality",),
        "tokens": (f"{_RECORDS}.tokens", f"{_CUT}.tokens"),
        "held_out": ("deduplication/fates.fate",),
    },
    "filtering/curves": {
        "pool": (f"{_POOLS}.pool",),
        "group": (f"{_POOLS}.group",),
        "metric_value": (f"{_RECORDS}.text", f"{_RECORDS}.label", "scoring/embeddings.vector"),
    },
    "filtering/laws": {
        "pool": ("filtering/curves.pool",),
        "b": _EVALUATIONS,
        "tau": (*_EVALUATIONS, "filtering/curves.unique"),
        "floor": _EVALUATIONS,
    },
    "filtering/plan": {
        "pools": ("filtering/curves.pool",),
        "passes": _EVALUATIONS,
        "predicted": _EVALUATIONS,
    },
    "allocation/group_curves": {column: (f"filtering/curves.{column}",) for column in _MEASURES},
    "allocation/plan": {
        "group": (f"{_POOLS}.group",),
        "pool": (f"{_POOLS}.pool",),
        "available": _CELLS,
        "samples": (*_CELLS, "filtering/curves.metric_value", "filtering/plan.passes"),
    },
    "publication/training_set": {
        **_PUBLISHED,
        "passes": ("allocation/plan.samples", "allocation/plan.records"),
    },
    "publication/holdout": _PUBLISHED,
    "publication/ledger": {
        "record_id": ("deduplication/fates.record_id",),
        "table": ("deduplication/fates.table", "ingestion/quarantine.table"),
        "fate": ("deduplication/fates.fate", "allocation/plan.samples"),
        "reason": ("deduplication/fates.reason", "ingestion/quarantine.reason"),
        "by": ("deduplication/fates.by", "deduplication/contained.parent"),
        "rows": ("deduplication/contained.rows",),
    },
}
