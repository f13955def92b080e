"""The rows of `allocation/rounds` and `allocation/round_records`: to and from rounds, and which records one buys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import polars as pl

from assets.allocation.errors import AllocationError
from assets.allocation.study import Round, Study
from assets.kernels.keyed_random import uniform

ROUNDS_SCHEMA: dict[str, Any] = {
    "round": pl.Int32,
    "group": pl.String,
    "available": pl.Int64,
    "bought": pl.Int64,
    "held": pl.Int64,
    "cost": pl.Float64,
    "spend": pl.Float64,
    "note": pl.String,
    "predicted_gain": pl.Float64,
    "spent": pl.Float64,
    "budget": pl.Float64,
    "stopped": pl.String,
    "policy": pl.String,
    "settings": pl.String,
}
RECORDS_SCHEMA: dict[str, Any] = {
    "round": pl.Int32,
    "record_id": pl.String,
    "group": pl.String,
}
PURPOSE = "allocation rounds"
OUT_OF_REACH = "the whole budget would not lift it to where half of the others are"


def round_rows(
    study: Study, past: Sequence[Round], made: Round, *, policy: str, settings: str
) -> pl.DataFrame:
    """Return the rows of one round, one a group, in the study's order."""
    spent = sum(r.spend for r in past) + made.spend
    notes = {**dict.fromkeys(made.out_of_reach or (), OUT_OF_REACH), **(made.unallocatable or {})}
    rows = [
        {
            "round": made.number,
            "group": g.name,
            "available": int(g.available),
            "bought": made.bought[g.name],
            "held": made.held[g.name],
            "cost": g.cost,
            "spend": made.bought[g.name] * g.cost,
            "note": notes.get(g.name),
            "predicted_gain": made.predicted_gain,
            "spent": spent,
            "budget": study.budget,
            "stopped": made.stopped,
            "policy": policy,
            "settings": settings,
        }
        for g in study.groups
    ]
    return pl.DataFrame(rows, schema=ROUNDS_SCHEMA, orient="row")


def rounds_of(frame: pl.DataFrame) -> list[Round]:
    """Read the rounds in a table's rows, the pilot first.

    Raises
    ------
    AllocationError
        A round is missing in between.
    """
    found = []
    for number, (_, rows) in enumerate(sorted(frame.partition_by("round", as_dict=True).items())):
        first = rows.row(0, named=True)
        if first["round"] != number:
            message = f"round {number} is missing before round {first['round']}; begin anew with --restart"
            raise AllocationError(message)
        found.append(
            Round(
                number=number,
                bought=dict(rows.select("group", "bought").iter_rows()),
                held=dict(rows.select("group", "held").iter_rows()),
                spend=float(rows["spend"].sum()),
                train_sizes={},
                stopped=first["stopped"],
                predicted_gain=first["predicted_gain"],
            )
        )
    return found


def choose(
    candidates: pl.DataFrame,
    bought: Mapping[str, int],
    *,
    number: int,
    seed: int,
    within: Literal["hash", "best"],
) -> pl.DataFrame:
    """Choose the records that a round buys.

    Parameters
    ----------
    candidates
        What no earlier round holds: `record_id`, `group`, `quality`.
    bought
        How many of each group.
    number
        Of the round.
    seed, within
        `hash`: the order inside a group is by a hash of id and seed, so what rounds hold together is a sample of the
        group, and depends on how many were bought and not on when; `best`: by quality, ties by that hash.

    Returns
    -------
    polars.DataFrame
        Columns of `RECORDS_SCHEMA`, sorted by id.
    """
    drawn = candidates.with_columns(
        pl.Series("_draw", uniform(candidates["record_id"], seed, PURPOSE), dtype=pl.Float64)
    )
    order, descending = ["_draw", "record_id"], [False, False]
    if within == "best":
        order, descending = ["quality", *order], [True, False, False]
    wanted = pl.DataFrame(
        {"group": list(bought), "_wanted": list(bought.values())},
        schema={"group": pl.String, "_wanted": pl.Int64},
    )
    return (
        drawn.sort(order, descending=descending, nulls_last=True)
        .with_columns(_rank=pl.int_range(pl.len()).over("group"))
        .join(wanted, on="group")
        .filter(pl.col("_rank") < pl.col("_wanted"))
        .select(pl.lit(number, pl.Int32).alias("round"), "record_id", "group")
        .sort("record_id")
    )
