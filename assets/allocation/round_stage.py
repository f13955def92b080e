"""One round of the study that a recipe states, as a partition of `allocation/rounds`.

Round 0 buys a pilot. Every later one trains proxies on the records that the rounds before it hold, fits a curve a
group to all evaluations so far, divides the next slice, and adds records to those held. What the rounds before it
wrote is read and never written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import polars as pl

from assets.allocation.adaptive import decide, pilot
from assets.allocation.errors import AllocationError
from assets.allocation.round_spec import CURVES, POOLS, RECORDS, ROUNDS, SPEC
from assets.allocation.round_study import changed_settings, settings_text, study_of
from assets.allocation.round_tables import choose, round_rows, rounds_of
from assets.allocation.study import Round
from resources import delta
from resources.errors import NothingToDo, NotReadyError, RecipeError, StoreError
from resources.partition_stage import PartitionStage
from resources.run import Run
from resources.stage import Stage

RESTART = "--restart (in the UI with the tag sluice/restart: true)"


def standing(run: Run, table: str) -> pl.DataFrame | None:
    """Return all rows of a table of rounds as it stands, or None where there is none."""
    uri = run.uri(table)
    there = delta.open_table(uri)
    return None if there is None else delta.scan(uri, there.version()).collect()


def rounds_bought(run: Run) -> list[Round]:
    """Return the rounds that stand, none where there is no study.

    Raises
    ------
    RecipeError
        They were bought under other settings than the recipe's, or their records are not all there.
    """
    rows = standing(run, ROUNDS)
    if rows is None:
        return []
    try:
        past = rounds_of(rows)
    except AllocationError as error:
        message = f"allocation/rounds: {error}"
        raise RecipeError(message) from error
    now = settings_text(run.recipe, SPEC.sections, run.sample)
    changes = changed_settings(rows["settings"][0], now)
    if changes:
        message = (
            f"allocation/rounds: rounds 0 to {past[-1].number} were bought under other settings: {'; '.join(changes)}. "
            f"What is bought can't be planned again: set them back, or begin anew with {RESTART}"
        )
        raise RecipeError(message)
    _assert_records(run, past[-1])
    return past


def _assert_records(run: Run, last: Round) -> None:
    records = standing(run, RECORDS)
    there: dict[str, int] = {}
    if records is not None:
        counted = records.filter(pl.col("round") <= last.number).group_by("group").len()
        there = dict(counted.iter_rows())
    if any(there.get(group, 0) != held for group, held in last.held.items()):
        message = (
            f"{run.uri(RECORDS)} does not hold the records of rounds 0 to {last.number}, as when a restart was cut "
            f"short: begin anew with {RESTART}"
        )
        raise StoreError(message)


def compute(run: Run, stage: Stage) -> Mapping[str, Mapping[str, Any]]:
    """Buy the round of the stage's partition."""
    if not isinstance(stage, PartitionStage):
        message = f"{stage.spec.name} is written a round at a time"
        raise TypeError(message)
    number = stage.partition
    past = [] if stage.anew else rounds_bought(run)
    _assert_next(past, number)
    pools = run.read(POOLS).filter(~pl.col("held_out"))
    groups = (
        pools.group_by("group")
        .agg(available=pl.len().cast(pl.Int64), tokens=pl.col("tokens").mean().clip(1e-9))
        .sort("group")
    )
    held = pl.DataFrame(schema={"record_id": pl.String})
    measured = pl.DataFrame()
    try:
        study = study_of(run.recipe, groups)
        if number == 0:
            made = pilot(study)
            measured = _no_evaluations()
        else:
            held = _held(run, number)
            known = _evaluations_before(run, number)
            measured = _measure(run, held["record_id"], known)
            run.report("allocation", f"dividing the slice of round {number}", None, None)
            made = _with_reasons(decide(study, past, pl.concat([known, measured])), measured)
    except AllocationError as error:
        message = f"allocation/rounds: {error}"
        raise RecipeError(message) from error
    policy = run.recipe.allocation
    assert policy is not None  # `study_of` refuses
    chosen = choose(
        pools.join(held, on="record_id", how="anti").select("record_id", "group", "quality"),
        made.bought,
        number=number,
        seed=run.recipe.seed,
        within=policy.within,
    )
    rows = round_rows(
        study,
        past,
        made,
        policy=policy.policy.model_dump_json(),
        settings=settings_text(run.recipe, SPEC.sections, run.sample),
    )
    stage.put(RECORDS, chosen)
    stage.put(CURVES, measured.with_columns(round=pl.lit(number, pl.Int32)))
    stage.put(ROUNDS, rows)
    _audit(stage, rows, chosen, held)
    return _facts(made, rows, measured)


def _assert_next(past: list[Round], number: int) -> None:
    last = past[-1] if past else None
    if last is not None and last.stopped is not None and number > last.number:
        message = f"round {number} is not bought, because round {last.number} ended the study: {last.stopped}"
        raise NothingToDo(message)
    wanted = 0 if last is None else last.number + 1
    if number > wanted:
        message = f"allocation/rounds: round {wanted} comes before round {number} and is not bought yet; run it first"
        raise NotReadyError(message)
    if number < wanted:
        message = (
            f"allocation/rounds: round {number} stands, on another state of the lake or with parts missing, and round "
            f"{wanted - 1} was bought after it; begin anew with {RESTART}"
        )
        raise RecipeError(message)


def _held(run: Run, number: int) -> pl.DataFrame:
    rows = standing(run, RECORDS)
    if rows is None:
        message = f"{run.uri(RECORDS)}: there is no table; begin anew with {RESTART}"
        raise StoreError(message)
    # a round that was killed may have left its own records, which this one replaces
    return rows.filter(pl.col("round") < number).select("record_id")


def _no_evaluations() -> pl.DataFrame:
    from assets.filtering.proxies.run import SCHEMA

    return pl.DataFrame(schema=SCHEMA)


def _evaluations_before(run: Run, number: int) -> pl.DataFrame:
    from assets.filtering.proxies.run import SCHEMA

    rows = standing(run, CURVES)
    if rows is None:
        return _no_evaluations()
    return rows.filter(pl.col("round") < number).select(list(SCHEMA)).sort("run_id")


def _measure(run: Run, held: pl.Series, known: pl.DataFrame) -> pl.DataFrame:
    from assets.filtering.proxy_curves import train_group_proxies

    # a group that has bought nothing since is measured on the same records again: the same run
    return train_group_proxies(run, held).filter(~pl.col("run_id").is_in(known["run_id"].to_list()))


def _with_reasons(made: Round, measured: pl.DataFrame) -> Round:
    """Say of a group without a curve what kept its proxies from being measured, where that is known."""
    silent = measured.filter(pl.col("metric_value").is_null(), pl.col("reason").is_not_null())
    reasons = dict(silent.select("group", "reason").iter_rows())
    told = {group: reasons.get(group, text) for group, text in (made.unallocatable or {}).items()}
    return replace(made, unallocatable=told)


def _audit(stage: Stage, rows: pl.DataFrame, chosen: pl.DataFrame, held: pl.DataFrame) -> None:
    again = chosen.join(held, on="record_id").height
    stage.check(
        "nothing_is_bought_twice", again == 0 and chosen["record_id"].is_unique().all(), again=again
    )
    counted = dict(chosen.group_by("group").len().iter_rows())
    off = [g for g, n in rows.select("group", "bought").iter_rows() if counted.get(g, 0) != n]
    stage.check("records_are_those_bought", not off, groups_off=len(off), records=chosen.height)
    spent, budget = float(rows["spent"][0]), float(rows["budget"][0])
    stage.check(
        "within_the_budget", spent <= budget * (1 + 1e-9), spent=round(spent, 3), budget=budget
    )


def _facts(made: Round, rows: pl.DataFrame, measured: pl.DataFrame) -> dict[str, dict[str, Any]]:
    return {
        RECORDS: {"bought": sum(made.bought.values())},
        CURVES: {"evaluations": measured.height},
        ROUNDS: {
            "round": made.number,
            "spend": float(made.spend),
            "spent": float(rows["spent"][0]),
            "predicted_gain": "none" if made.predicted_gain is None else made.predicted_gain,
            "stopped": made.stopped or "no",
            "bought_by_group": json.dumps(made.bought),
        },
    }
