"""What deduplication decides for each record: kept, held out, or which of its twins stays instead."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from assets.deduplication.clusters import component_clusters, components, star_clusters
from assets.deduplication.contamination import contamination
from assets.deduplication.exact import content_rank, content_survivors, duplicate_records
from assets.deduplication.holdout import HoldOut
from assets.deduplication.name_places import repeated_names
from assets.deduplication.survivor_order import order_columns

SLICE = 1 << 17  # records whose fates are put together at once
SURVIVOR_ORDER = ("source", "longest")
FATE_SCHEMA = {
    "record_id": pl.String,
    "content_id": pl.String,
    "table": pl.String,
    "fate": pl.String,
    "reason": pl.String,
    "by": pl.String,
    "since": pl.Int32,
}


@dataclass(frozen=True)
class Decided:
    """Result of `decide`.

    Attributes
    ----------
    duplicates
        The contract's `deduplication/duplicates`.
    fates
        One row a record; `fate` is null for survivors that go on to scoring.
    """

    duplicates: pl.DataFrame
    fates: pl.DataFrame


def decide(
    records: pl.DataFrame,
    pairs: pl.DataFrame,
    twins: pl.DataFrame,
    *,
    mode: Literal["star", "components"] = "star",
    label_conflicts: Literal["keep", "drop_all"] = "keep",
    holdout_share: float = 0.0,
    seed: int = 0,
    previously_held: Collection[str] = frozenset(),
    order: Sequence[str] = SURVIVOR_ORDER,
    incumbents: pl.Series | Collection[str] = (),
    shared: pl.DataFrame | None = None,
) -> Decided:
    """Give every record a fate, as far as this stage can.

    Parameters
    ----------
    records
        record_id, content_id (null: nothing to learn from), table, role, label, rule, length, empty, and the
        columns that `order` names.
    pairs, twins
        Verified near duplicates of all roles, as `NearDuplicates.collapsed` returns them.
    mode
        `star`: a dropped record is within the threshold of the one that is kept; `components`: of any in its cluster.
    label_conflicts
        Whether records whose twins carry other labels are kept (and marked) or all dropped.
    holdout_share, seed, previously_held
        See `holdout.HoldOut`.
    order
        Which twin is kept (see `survivor_order`); `source` is the rule. The content hash ends ties.
    incumbents
        Records that were kept before: none is dropped for a record that was not.
    shared
        content_id, against, role, tokens, start, end: spans that contents share with protected records.

    Notes
    -----
    The order of causes: evaluation or target, empty, twin of an evaluation or target record, sharing a span with one,
    duplicate, held out. Only records that share their content, or whose content is like another, are compared at
    all, so memory beside the result goes by their number.
    """
    concerned = _concerned(records, pairs, twins, shared)
    usable = concerned.filter(~pl.col("empty"))
    tainted = contamination(usable, pairs, twins)
    reasons = [_cause(_tainted(tainted), "contaminated")]
    clean = usable.filter(pl.col("role") == "train").join(tainted, on="record_id", how="anti")
    if shared is not None:
        reasons.append(_cause(_sharing(clean, shared), "contaminated"))
        clean = clean.join(shared, on="content_id", how="anti")
    wishes = order_columns(clean.with_columns(source="rule"), order)
    if not isinstance(incumbents, pl.Series):
        incumbents = pl.Series([*incumbents], dtype=pl.String)
    ordered = clean.hstack(wishes).with_columns(
        newness=(~pl.col("record_id").is_in(incumbents.implode())).cast(pl.Int8)
    )
    by = ["newness", *wishes.columns]
    rank = content_rank(content_survivors(ordered, by), by)
    cluster = star_clusters if mode == "star" else component_clusters
    duplicates = duplicate_records(ordered, cluster(pairs, rank, twins), by)
    if label_conflicts == "drop_all":
        conflicting = duplicates.filter("label_conflict").select(
            "record_id", by=pl.lit(None, pl.String), reason=pl.lit("its twins carry other labels")
        )
        reasons.append(_cause(conflicting, "filtered"))
    reasons.append(_cause(_dropped(duplicates), "duplicate"))
    causes = pl.concat(reasons).unique("record_id", keep="first", maintain_order=True)
    holds = HoldOut(components(pairs, twins), holdout_share, seed, previously_held)
    names = records.select(pl.arg_sort_by("record_id")).to_series()
    parts = [
        _fates_of(records[names[first : first + SLICE]], causes, holds)
        for first in range(0, len(names), SLICE)
    ]
    return Decided(duplicates, pl.concat([pl.DataFrame(schema=FATE_SCHEMA), *parts]))


def _concerned(
    records: pl.DataFrame, pairs: pl.DataFrame, twins: pl.DataFrame, shared: pl.DataFrame | None
) -> pl.DataFrame:
    """Return the records whose content another record has, or that is like another: few of many, mostly."""
    named = [pairs["left"], pairs["right"], twins["key"]]
    named += [] if shared is None else [shared["content_id"]]
    names = pl.concat([some.unique().rename("content_id") for some in named]).unique()
    alike = pl.col("content_id").is_in(names.implode()) | repeated_names(records["content_id"])
    return records.filter(alike).with_columns(pl.col("table", "role").cast(pl.String))


def _fates_of(records: pl.DataFrame, causes: pl.DataFrame, holds: HoldOut) -> pl.DataFrame:
    """Return `FATE_SCHEMA` of some records."""
    protected = pl.col("role") != "train"
    role = pl.format("role is {}", pl.col("role").cast(pl.String))
    nothing = pl.lit("there is nothing to learn from")
    fates = (
        records.select("record_id", "content_id", pl.col("table").cast(pl.String), "role", "empty")
        .join(causes, on="record_id", how="left", maintain_order="left")
        .with_columns(
            fate=pl.when(protected)
            .then(pl.lit("evaluation"))
            .when("empty")
            .then(pl.lit("filtered"))
            .otherwise("fate"),
            reason=pl.when(protected).then(role).when("empty").then(nothing).otherwise("reason"),
            by=pl.when(~protected & ~pl.col("empty")).then("by"),
            since=pl.lit(None, pl.Int32),  # see `stage_cuts.since_when`
        )
    )
    held = pl.col("fate").is_null() & holds.of(fates["content_id"])
    return fates.with_columns(
        fate=pl.when(held).then(pl.lit("held_out")).otherwise("fate"),
        reason=pl.when(held)
        .then(pl.lit("held out, by a hash of its cluster's content"))
        .otherwise("reason"),
    ).select(*FATE_SCHEMA)


def _cause(reasons: pl.DataFrame, fate: str) -> pl.DataFrame:
    return reasons.select("record_id", "reason", "by", fate=pl.lit(fate))


def _tainted(tainted: pl.DataFrame) -> pl.DataFrame:
    return tainted.select(
        "record_id",
        by="against",
        reason=pl.format(
            "{} twin (similarity {}) of a record with role {}",
            "kind",
            pl.col("similarity").round(4),
            "role",
        ),
    )


def _dropped(duplicates: pl.DataFrame) -> pl.DataFrame:
    return duplicates.filter(pl.col("record_id") != pl.col("keeper")).select(
        "record_id",
        by="keeper",
        # a chain's end was never compared with the row that is kept
        reason=pl.coalesce(
            pl.format("{} duplicate, similarity {}", "kind", pl.col("similarity").round(4)),
            pl.format("{} duplicate, by a chain of twins", "kind"),
        ),
    )


def _sharing(records: pl.DataFrame, shared: pl.DataFrame) -> pl.DataFrame:
    """Return the records that share a span with a protected one, and the longest such span."""
    longest = shared.sort(["tokens", "against", "start"], descending=[True, False, False]).unique(
        "content_id", keep="first", maintain_order=True
    )
    return records.join(longest, on="content_id", suffix="_guarded").select(
        "record_id",
        by="against",
        reason=pl.format(
            "shares {} tokens (characters {} to {}) with a record of role {}",
            "tokens",
            "start",
            "end",
            "role_guarded",
        ),
    )
