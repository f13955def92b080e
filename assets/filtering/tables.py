"""What the tables of the filtering stage hold, column by column."""

from __future__ import annotations

POOLS, CUTS, CURVES = "filtering/pools", "filtering/calibration", "filtering/curves"
LAWS, PLAN, ANALYSIS = "filtering/laws", "filtering/plan", "filtering/analysis"

#: by table: what a row is, and its columns
TABLES: dict[str, tuple[str, dict[str, str]]] = {
    POOLS: (
        "One row a scored record: its quality pool.",
        {
            "record_id": "string: record",
            "pool": "int32: 0 is the best",
            "group": "string: value of the allocation's group",
            "quality": "double: what it was cut by",
            "tokens": "int64: size of the record",
            "held_out": "bool: whether it is held out",
        },
    ),
    CUTS: (
        "One row: the cuts between pools. They are kept until the scores are calibrated anew or too many records move.",
        {
            "calibration": "string: identity of the cuts and of what they cut",
            "scoring": "string: identity of the scoring calibration",
            "cuts": "string: JSON, by group the last quality and tie hash of each pool but the last",
            "reason": "string: why they were made",
            "renewed": "bool: whether this release made them",
            "moved": "double: share of the records that new cuts would put in another pool",
        },
    ),
    CURVES: (
        "One row an evaluation of a training run.",
        {
            "pool": "string: pool, or pools joined by +",
            "group": "string: or group",
            "samples_seen": "int64: records drawn",
            "unique": "int64: distinct ones",
            "metric_name": "string: what was measured",
            "direction": "string: lower or higher is better",
            "metric_value": "double: measured on held-out records",
            "se": "double: standard error",
            "seed": "int64: seed",
            "run_id": "string: hash of all that determines the run",
            "purpose": "string: design, validation (kept out of every fit), widening or merging",
        },
    ),
    LAWS: (
        "One row a law and pool: the fitted parameters.",
        {
            "law": "string: utility, saturation, power or data_constrained",
            "pool": "string: pool",
            "b": "double: exponent, negative where more data helps",
            "tau": "double: half-life of repetition, in passes",
            "b_lo": "double: 80 % interval of b",
            "b_hi": "double: 80 % interval of b",
            "tau_lo": "double: 80 % interval of tau",
            "tau_hi": "double: 80 % interval of tau",
            "floor": "double: error that no amount of data removes",
            "anchor": "double: samples at which the reducible error would be 1",
            "rmse": "double: misfit in sample",
            "log_score": "double: predictive score on runs left out; the average weighs by it",
            "mixture_rule": "string: how the mixture rule did on mixtures that were kept out of the fit",
        },
    ),
    PLAN: (
        "One row a candidate plan and budget, best first.",
        {
            "budget": "int64: in the recipe's unit; null where none is stated",
            "rank": "int64: 0 is the best",
            "pools": "string: pools joined by +",
            "weights": "list: share of the samples that each pool gets",
            "passes": "list: how often each pool's records are shown",
            "predicted": "double: metric",
            "lo80": "double: 80 % interval",
            "hi80": "double: 80 % interval",
            "lo90": "double: 90 % interval",
            "hi90": "double: 90 % interval",
            "p_best": "double: probability of being the best candidate",
            "regret": "double: expected loss against the best",
            "chosen": "bool: the plan of its budget",
            "published": "bool: the plan that publication's budget follows",
            "reason": "string: why, where a rule decided",
            "mixture_rule": "string: held, failed, not validated, unchecked, or one pool",
        },
    ),
    ANALYSIS: (
        "One row a budget: the whole answer as JSON, as `sluice laws --json` prints it.",
        {
            "budget": "int64: budget",
            "answer": "string: JSON",
            "worths": "string: JSON, by pool what a sample is worth in samples of pool 0, and its half-life",
            "unit_size": "double: size of a mean record in the unit of budgets",
        },
    ),
}
