"""Rounds against simple rules in simulation: mean and p90 regret of the objective.

Three groups with known power curves, budget 50,000, a pilot of 200 a group; every evaluation is a
binomial share of m test items. Regret is the exact optimum less the objective of what was bought, both
on the true curves. It asserts that five rounds and twenty beat equal counts, equal spend and proportional
for both objectives, and prints (not hides) that one round is not safe for max-min.

    python benchmarks/adaptive_allocation.py [SEEDS]
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from assets.allocation.adaptive import next_round, pilot, read_study
from assets.allocation.answer import allocate

TRUTH = {  # a, b, p, cost, weight
    "A": (0.95, 2.0, 0.5, 1.0, 0.6),
    "B": (0.90, 1.5, 0.25, 2.0, 0.3),
    "C": (0.92, 3.0, 0.35, 5.0, 0.1),
}
BUDGET, PILOT = 50_000, 200
OBJECTIVES = {
    "utilitarian": {"kind": "weighted_sum"},
    "max_min": {"kind": "max_min", "level": "raw"},
}


def performance(held):
    return {g: a - b * held[g] ** -p for g, (a, b, p, _, _) in TRUTH.items()}


def objective(kind, held):
    f = performance(held)
    if kind == "max_min":
        return min(f.values())
    return sum(TRUTH[g][4] * f[g] for g in TRUTH)


def optimum(kind):
    groups = [
        {
            "name": g,
            "weight": w,
            "cost": c,
            "available": 1e9,
            "curve": {"form": "power", "a": a, "b": b, "p": p},
        }
        for g, (a, b, p, c, w) in TRUTH.items()
    ]
    problem = {"budget": BUDGET, "objective": OBJECTIVES[kind], "groups": groups}
    return allocate(problem)["objective"]


def simple_rules(kind):
    cost = {g: t[3] for g, t in TRUTH.items()}
    weight = {g: t[4] for g, t in TRUTH.items()}
    equal = BUDGET / sum(cost.values())
    scale = BUDGET / sum(weight[g] * cost[g] for g in TRUTH)
    plans = {
        "equal_n": dict.fromkeys(TRUTH, equal),
        "equal_spend": {g: BUDGET / 3 / cost[g] for g in TRUTH},
        "proportional": {g: scale * weight[g] for g in TRUTH},
    }
    return {name: objective(kind, held) for name, held in plans.items()}


def measured(held_sizes, items, rng, tag):
    rows = []
    for g, sizes in held_sizes.items():
        a, b, p, _, _ = TRUTH[g]
        for n in sizes:
            f = float(np.clip(a - b * n**-p, 0, 1))
            seen = rng.binomial(items, f) / items
            se = float(np.sqrt(max(seen * (1 - seen), 1 / items) / items))
            rows.append((g, n, n, seen, "higher", se, 0, f"{tag}-{g}-{n}"))
    columns = [
        "group",
        "samples_seen",
        "unique",
        "metric_value",
        "direction",
        "se",
        "seed",
        "run_id",
    ]
    return pl.DataFrame(rows, schema=columns, orient="row")


def study(kind, rounds):
    groups = [
        {"name": g, "weight": w, "cost": c, "available": 1e9}
        for g, (_, _, _, c, w) in TRUTH.items()
    ]
    return read_study(
        {
            "budget": BUDGET,
            "objective": OBJECTIVES[kind],
            "rounds": rounds,
            "pilot": PILOT,
            "draws": 20,
            "groups": groups,
        }
    )


def run(kind, rounds, items, seed):
    rng = np.random.default_rng([seed, rounds, items])
    stated = study(kind, rounds)
    past = [pilot(stated)]
    evaluations = measured(past[0].train_sizes, items, rng, 0)
    while past[-1].stopped is None:
        past.append(next_round(stated, past, evaluations))
        evaluations = pl.concat(
            [evaluations, measured(past[-1].train_sizes, items, rng, past[-1].number)]
        )
    spent = sum(r.spend for r in past)
    assert spent <= BUDGET * (1 + 1e-9), spent
    return objective(kind, past[-1].held)


def main() -> None:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    started = time.process_time()
    results = {}
    for kind in OBJECTIVES:
        best = optimum(kind)
        rules = {name: best - value for name, value in simple_rules(kind).items()}
        results[kind] = {"optimum": best, "rules": rules, "rounds": {}}
        for name, regret in rules.items():
            print(f"{kind:12} {name:13} regret {regret:.5f}")
        for items in (500, 5000):
            for rounds in (1, 5, 20):
                regrets = np.array([best - run(kind, rounds, items, s) for s in range(seeds)])
                mean, p90 = float(regrets.mean()), float(np.quantile(regrets, 0.9))
                results[kind]["rounds"][f"m={items} R={rounds}"] = {"mean": mean, "p90": p90}
                note = ""
                if rounds == 1 and mean > rules["equal_spend"]:
                    note = "  <- one shot loses to equal spend"
                print(
                    f"{kind:12} m {items:5} rounds {rounds:2} regret {mean:.5f} (p90 {p90:.5f}){note}"
                )
                if rounds >= 5:
                    assert mean < min(rules.values()), (kind, items, rounds, mean, rules)
    results["cpu_seconds"] = time.process_time() - started
    out = Path(__file__).parent / "results"
    out.mkdir(exist_ok=True)
    (out / "adaptive_allocation.json").write_text(json.dumps(results, indent=2) + "\n")
    print(f"holds; {results['cpu_seconds']:.0f} CPU seconds, {seeds} seeds")


if __name__ == "__main__":
    main()
