"""The tables of a study in rounds, as the flow knows them before any is written."""

from __future__ import annotations

from resources.dagster_stage import TableInfo
from resources.stage_spec import StageSpec

RECORDS, CURVES, ROUNDS = (
    "allocation/round_records",
    "allocation/round_curves",
    "allocation/rounds",
)
POOLS = "filtering/pools"
SPEC = StageSpec(
    name="allocation/rounds",
    tables=(RECORDS, CURVES, ROUNDS),  # a round is there when its rows in the last of them are
    reads=(
        "deduplication/records",
        "deduplication/fates",
        "deduplication/cut_records",
        "scoring/embeddings",
        POOLS,
    ),
    code_version="1",
    layer="recipe",
    sections=(
        *(f"allocation.{key}" for key in ("by", "objective", "level", "aversion", "weights")),
        *(f"allocation.{key}" for key in ("costs", "floors", "within", "rounds")),
        *(
            "filtering.proxy",
            "filtering.budgets",
            "filtering.publish",
            "scoring.dimensions",
            "unit",
        ),
    ),
    partition="round",
)
INFO = {
    RECORDS: TableInfo(
        "One row a record that a round bought. A round is there once `allocation/rounds` has it.",
        {
            "round": "int32: which one, 0 is the pilot",
            "record_id": "string: record",
            "group": "string: its group",
        },
    ),
    CURVES: TableInfo(
        "One row an evaluation that a round was divided by: a proxy trained on what the rounds before it hold.",
        {
            "round": "int32: the round that it was made for",
            "group": "string: group",
            "samples_seen": "int64: records drawn",
            "unique": "int64: distinct ones",
            "metric_value": "double: measured on the group's held-out records",
            "reason": "string: why there is no metric",
        },
    ),
    ROUNDS: TableInfo(
        "One row a round and group: what was bought and what is held then. A partition a round; none changes later.",
        {
            "round": "int32: 0 is the pilot",
            "group": "string: group",
            "available": "int64: records there are",
            "bought": "int64: records that this round added",
            "held": "int64: records after it",
            "cost": "double: of one record, in the budget's unit times the group's price",
            "spend": "double: bought times cost",
            "note": "string: why nothing can be bought, or that it can't catch up",
            "predicted_gain": "double: of the objective by this slice, 90 % quantile over the curves' draws",
            "spent": "double: by all rounds up to this one",
            "budget": "double: of the study",
            "stopped": "string: why the study ends here",
            "policy": "string: JSON, owner and reason",
            "settings": "string: JSON, what the study is bought under",
        },
    ),
}
CHECKS = {
    "nothing_is_bought_twice": "no record is in two rounds",
    "records_are_those_bought": "the records of each group are as many as were bought",
    "within_the_budget": "all rounds together spend no more than the budget",
}
