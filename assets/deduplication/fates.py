"""What deduplication decides for each record: kept, held out, or which of its twins stays instead."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from assets.deduplication.clusters import component_clusters, components, star_clusters
from assets.deduplication.contamination import contamination
from assets.deduplication.exact import content_rank, content_survivors, duplicate_records
from assets.deduplication.holdout import held_out
from assets.deduplication.survivor_order import order_columns

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
    incumbents: Collection[str] = frozenset(),
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
        See `holdout.held_out`.
    order
        Which twin is kept (see `survivor_order`); `source` is the rule. The content hash ends ties.
    incumbents
        Records that were kept before: none is dropped for a record that was not.
    shared
        content_id, against, role, tokens, start, end: spans that contents share with protected records.

    Notes
    -----
    The order of causes: empty, evaluation or target, twin of an evaluation or target record, sharing a span with one,
    duplicate, held out.
    """
    fates = records.select("record_id", "content_id", "table", "role", "empty").with_columns(
        fate=pl.when(pl.col("role") != "train")
        .then(pl.lit("evaluation"))
        .when(pl.col("empty"))
        .then(pl.lit("filtered")),
        reason=pl.when(pl.col("role") != "train")
        .then(pl.format("role is {}", "role"))
        .when(pl.col("empty"))
        .then(pl.lit("there is nothing to learn from")),
        by=pl.lit(None, pl.String),
        since=pl.lit(None, pl.Int32),  # see `stage_cuts.since_when`
    )
    usable = records.filter(~pl.col("empty"))
    tainted = contamination(usable, pairs, twins)
    reasons = tainted.select(
        "record_id",
        _by="against",
        _reason=pl.format(
            "{} twin (similarity {}) of a record with role {}",
            "kind",
            pl.col("similarity").round(4),
            "role",
        ),
    )
    fates = _settle(fates, reasons, "contaminated")
    clean = usable.filter(pl.col("role") == "train").join(tainted, on="record_id", how="anti")
    if shared is not None:
        fates = _settle(fates, _sharing(clean, shared), "contaminated")
        clean = clean.join(shared, on="content_id", how="anti")
    wishes = order_columns(clean.with_columns(source="rule"), order)
    known = pl.Series(list(incumbents), dtype=pl.String)
    ordered = clean.hstack(wishes).with_columns(
        newness=(~pl.col("record_id").is_in(known.implode())).cast(pl.Int8)
    )
    by = ["newness", *wishes.columns]
    rank = content_rank(content_survivors(ordered, by), by)
    cluster = star_clusters if mode == "star" else component_clusters
    duplicates = duplicate_records(ordered, cluster(pairs, rank, twins), by)
    dropped = duplicates.filter(pl.col("record_id") != pl.col("keeper")).select(
        "record_id",
        _by="keeper",
        # a chain's end was never compared with the row that is kept
        _reason=pl.coalesce(
            pl.format("{} duplicate, similarity {}", "kind", pl.col("similarity").round(4)),
            pl.format("{} duplicate, by a chain of twins", "kind"),
        ),
    )
    if label_conflicts == "drop_all":
        conflicting = duplicates.filter("label_conflict").select(
            "record_id", _by=pl.lit(None, pl.String), _reason=pl.lit("its twins carry other labels")
        )
        fates = _settle(fates, conflicting, "filtered")
    fates = _settle(fates, dropped, "duplicate")
    survivors = fates.filter(pl.col("fate").is_null())
    held = held_out(
        components(pairs, twins), survivors["content_id"], holdout_share, seed, previously_held
    ).filter("held_out")
    reserved = survivors.join(held, on="content_id", how="semi").select(
        "record_id",
        _by=pl.lit(None, pl.String),
        _reason=pl.lit("held out, by a hash of its cluster's content"),
    )
    fates = _settle(fates, reserved, "held_out")
    return Decided(duplicates, fates.select(*FATE_SCHEMA).sort("record_id"))


def _sharing(records: pl.DataFrame, shared: pl.DataFrame) -> pl.DataFrame:
    """Return the records that share a span with a protected one, and the longest such span."""
    longest = shared.sort(["tokens", "against", "start"], descending=[True, False, False]).unique(
        "content_id", keep="first", maintain_order=True
    )
    return records.join(longest, on="content_id", suffix="_guarded").select(
        "record_id",
        _by="against",
        _reason=pl.format(
            "shares {} tokens (characters {} to {}) with a record of role {}",
            "tokens",
            "start",
            "end",
            "role_guarded",
        ),
    )


def _settle(fates: pl.DataFrame, reasons: pl.DataFrame, fate: str) -> pl.DataFrame:
    """Give a fate to the records named in `reasons` that have none yet."""
    joined = fates.join(reasons, on="record_id", how="left")
    now = pl.col("fate").is_null() & pl.col("_reason").is_not_null()
    return joined.with_columns(
        reason=pl.when(now).then("_reason").otherwise("reason"),
        by=pl.when(now).then("_by").otherwise("by"),
        fate=pl.when(now).then(pl.lit(fate)).otherwise("fate"),
    ).drop("_reason", "_by")
