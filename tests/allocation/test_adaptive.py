"""Rounds: never un-bought, never past the budget, resumable, stopped for a stated reason."""

from __future__ import annotations

import itertools
import json

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from assets.allocation.adaptive import next_round, pilot, read_study
from assets.allocation.answer import allocate
from assets.allocation.errors import AllocationError
from assets.allocation.problem_errors import ProblemError
from assets.allocation.round_files import read_rounds, write_round
from orchestration.cli import main

TRUTH = {"A": (0.95, 2.0, 0.5), "B": (0.90, 1.5, 0.25), "C": (0.92, 3.0, 0.35)}
COST = {"A": 1.0, "B": 2.0, "C": 5.0}
MAX_MIN = {"kind": "max_min", "level": "raw"}


def stated(**change):
    groups = [
        {"name": g, "weight": w, "cost": COST[g], "available": 1e8}
        for g, w in zip(TRUTH, (0.6, 0.3, 0.1), strict=True)
    ]
    base = {"budget": 50_000, "objective": MAX_MIN, "rounds": 5, "pilot": 200, "groups": groups}
    return base | change


def measured(sizes, noise=0.0):
    rng = np.random.default_rng(5)
    rows = [
        {
            "group": g,
            "samples_seen": n,
            "unique": n,
            "metric_value": TRUTH[g][0] - TRUTH[g][1] * n ** -TRUTH[g][2] + noise * rng.normal(),
            "direction": "higher",
            "se": noise or None,
            "seed": 0,
            "run_id": f"{g}-{n}",
        }
        for g, each in sizes.items()
        for n in each
    ]
    return pl.DataFrame(rows, schema_overrides={"se": pl.Float64})


def run(study, noise=0.0):
    past = [pilot(study)]
    seen = measured(past[0].train_sizes, noise)
    while past[-1].stopped is None:
        past.append(next_round(study, past, seen))
        more = past[-1].train_sizes
        seen = pl.concat([seen, measured(more, noise)]) if more else seen
    return past, seen


def worst(held):
    return min(a - b * held[g] ** -p for g, (a, b, p) in TRUTH.items())


def test_rounds_approach_the_optimum_and_never_take_back():
    past, _ = run(read_study(stated()))
    assert len(past) == 6
    for before, after in itertools.pairwise(past):
        assert all(after.held[g] == before.held[g] + after.bought[g] for g in TRUTH)
        assert min(after.bought.values()) >= 0
    spent = sum(r.spend for r in past)
    assert spent <= 50_000
    assert spent > 50_000 - 5 * 5
    assert worst(past[-1].held) == pytest.approx(0.761580, abs=2e-3)


def test_one_shot_from_a_noisy_pilot_is_worse_than_rounds_for_max_min():
    one, _ = run(read_study(stated(rounds=1)), noise=0.02)
    five, _ = run(read_study(stated()), noise=0.02)
    assert worst(five[-1].held) > worst(one[-1].held) + 0.01


def test_what_is_held_is_a_lower_bound_inside_the_solve():
    # mutant: planning the whole budget anew and clipping at what is held overspends
    study = read_study(stated())
    held = {"A": 20_000, "B": 200, "C": 200}
    groups = [g | {"held": 0} for g in stated()["groups"]]
    for g in groups:
        a, b, p = TRUTH[g["name"]]
        g["curve"] = {"form": "power", "a": a, "b": b, "p": p}
    anew = allocate({"budget": 50_000, "objective": MAX_MIN, "groups": groups})
    clipped = {e["group"]: max(e["samples"], held[e["group"]]) for e in anew["allocation"]}
    assert sum(COST[g] * n for g, n in clipped.items()) > 50_000 * 1.2
    past = [pilot(study)]
    assert next_round(study, past, measured(past[0].train_sizes)).spend <= (50_000 - 1600) / 5


def test_stops_where_the_next_slice_is_not_worth_its_cost():
    past, _ = run(read_study(stated(value=10.0)))
    assert past[-1].stopped.startswith("the next ")
    assert past[-1].spend == 0
    dear, _ = run(read_study(stated(value=1e9)))
    assert dear[-1].stopped == "the last round is bought"


def test_groups_without_a_curve_are_named_and_get_nothing():
    study = read_study(stated())
    past = [pilot(study)]
    past[0].train_sizes["C"] = []
    rows = measured({g: n for g, n in past[0].train_sizes.items() if g != "C"})
    made = next_round(study, past, rows)
    assert made.bought["C"] == 0
    assert "unallocatable without a pilot" in made.unallocatable["C"]


def test_a_group_that_cannot_catch_up_is_named_and_held_only_if_stated():
    low = {"A": TRUTH["A"], "B": (0.3, 0.5, 0.5), "C": TRUTH["C"]}
    rounds = {}
    for hold in (False, True):
        study = read_study(stated(hold_unreachable=hold))
        past = [pilot(study)]
        rows = measured(past[0].train_sizes)
        fix = rows.with_columns(
            metric_value=pl.when(pl.col("group") == "B")
            .then(low["B"][0] - low["B"][1] * pl.col("samples_seen") ** -low["B"][2])
            .otherwise("metric_value")
        )
        rounds[hold] = next_round(study, past, fix)
    assert rounds[False].out_of_reach == rounds[True].out_of_reach == ["B"]
    assert rounds[False].bought["B"] > 4000
    assert rounds[True].bought["B"] == 0


def test_a_round_that_was_not_evaluated_is_asked_for():
    study = read_study(stated())
    first = pilot(study)
    rows = measured(first.train_sizes).filter(
        (pl.col("group") != "B") | (pl.col("samples_seen") < 200)
    )
    with pytest.raises(AllocationError, match=r"round 0 asks for group 'B' at \[200\] samples"):
        next_round(study, [first], rows)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"pilot": 10}, "field pilot"),
        ({"pilot": 50_000}, "field pilot: 50000 of each group cost 400000"),
        ({"round": 3}, "unknown key; did you mean 'rounds'"),
        ({"objective": {"kind": "min_cost", "level": "raw", "target": 0.5}}, "min_cost"),
        ({"groups": stated()["groups"][:1] * 2}, "group 'A', field name"),
    ],
)
def test_misstated_studies(change, match):
    with pytest.raises(ProblemError, match=match):
        pilot(read_study(stated(**change)))


def test_a_study_goes_on_from_its_folder(tmp_path):
    study = read_study(stated())
    past, seen = run(study)
    for made in past[:3]:
        write_round(tmp_path, study, made)
    (tmp_path / "round-003.json.part").write_text("{")  # a killed write
    again = read_rounds(tmp_path, study)
    assert again == past[:3]
    assert next_round(study, again, seen) == next_round(study, past[:3], seen)
    with pytest.raises(AllocationError, match="other settings"):
        read_rounds(tmp_path, read_study(stated(budget=40_000)))
    (tmp_path / "round-001.json").unlink()
    with pytest.raises(AllocationError, match="round 1 is missing"):
        read_rounds(tmp_path, study)


def test_command_plans_round_after_round(tmp_path):
    problem, rows = tmp_path / "study.json", tmp_path / "evaluations.csv"
    problem.write_text(json.dumps(stated(rounds=2)))
    call = ["allocate", str(problem), "--rounds", str(tmp_path / "r"), "--json"]
    first = json.loads(CliRunner().invoke(main, call).output)
    assert first["bought"] == {"A": 200, "B": 200, "C": 200}
    measured(first["train_sizes"]).write_csv(rows)
    second = json.loads(CliRunner().invoke(main, [*call, "--evaluations", str(rows)]).output)
    assert second["number"] == 1
    assert second["spent"] <= 50_000
