"""What a plan of the flow promises, against the same problem stated in a file and solved on its own."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from assets.allocation.answer import allocate
from assets.allocation.comparisons import aversion_sweep, behind, rule_points, rule_samples
from assets.allocation.group_curves import fit_group_curves
from assets.allocation.plan import plan
from assets.allocation.prospects import out_of_reach_warnings, prospects

SHAPES = {"a": (0.9, 2.0, 0.4, 900), "b": (0.8, 1.2, 0.3, 5_000), "c": (0.85, 3.0, 0.5, 20_000)}


def curves(names="abc"):
    rows = [
        (g, n, n, a - b * n**-p, "higher", 0.01, seed, f"{n}-{seed}", 0.2)
        for g, (a, b, p, _) in SHAPES.items()
        if g in names
        for n in (50, 100, 200, 400)
        for seed in range(3)
    ]
    schema = [
        "group",
        "samples_seen",
        "unique",
        "metric_value",
        "direction",
        "se",
        "seed",
        "run_id",
        "chance_level",
    ]
    return fit_group_curves(pl.DataFrame(rows, schema=schema, orient="row"), list("abc"), draws=20)


CELLS = pl.DataFrame(
    [(g, 0, size) for g, (*_, size) in SHAPES.items()],
    schema=["group", "pool", "available"],
    orient="row",
)


def stated(fitted, weights, **objective):
    return {
        "budget": 6_000.0,
        "objective": objective,
        "groups": [
            {
                "name": g,
                "weight": weights[g],
                "cost": 1,
                "available": SHAPES[g][3],
                "chance": 0.2,
                "curve": {"form": "power", "a": fitted.a[i], "b": fitted.b[i], "p": fitted.p[i]},
            }
            for i, g in enumerate("abc")
        ],
    }


def promised(fitted, **settings):
    given = {"budget": 6_000.0, "curves": fitted, "fallback": None} | settings
    made = plan(CELLS, **given)
    return made, prospects(CELLS, made.frame, **given)


def test_the_sweep_and_the_rules_are_those_of_the_stated_problem():
    fitted, weights = curves(), {"a": 1.0, "b": 3.0, "c": 2.0}
    _, found = promised(fitted, objective={"kind": "weighted_sum"}, weights=weights)
    problem = stated(fitted, weights, kind="weighted_sum", level="raw")
    sweep = aversion_sweep(problem)
    assert pl.DataFrame(found["sweep"]).equals(sweep) or np.allclose(
        pl.DataFrame(found["sweep"]).to_numpy(), sweep.to_numpy(), rtol=1e-9
    )
    points = rule_points(problem, 6_000.0).sort("rule")
    ours = pl.DataFrame(found["points"]).sort("rule")
    assert ours["rule"].to_list() == points["rule"].to_list()
    assert ours.drop("rule").to_numpy() == pytest.approx(points.drop("rule").to_numpy(), rel=1e-9)
    counts = rule_samples(problem, 6_000.0)
    for row in found["rules"]:
        assert row["samples"] == pytest.approx(counts[row["rule"]]["abc".index(row["group"])])
    answer = allocate(problem)
    overall = sum(weights[e["group"]] * e["performance"] for e in answer["allocation"]) / 6
    assert found["chosen"][0] == pytest.approx(overall, rel=1e-6)
    assert found["chosen"][1] == pytest.approx(
        min(e["performance"] for e in answer["allocation"]), rel=1e-4
    )
    json.dumps(found)


def test_the_plan_lies_on_no_better_side_of_the_front():
    fitted = curves()
    _, found = promised(fitted, objective={"kind": "max_min", "level": "raw"})
    overall, worst = found["chosen"]
    assert "each group counted once" in found["weighted"]
    for row in found["sweep"]:  # no optimum of a sum is beaten in both
        assert not (overall > row["overall"] + 1e-4 and worst > row["worst"] + 1e-4)
    for row in found["groups"]:
        assert row["performance"] <= row["best"] + 1e-12


def test_a_group_without_a_curve_keeps_what_it_was_given_and_is_said_to_be_left_out():
    fitted = curves("ab")
    made, found = promised(
        fitted, objective={"kind": "weighted_sum"}, weights="equal", fallback="proportional"
    )
    assert "of the groups with a curve" in found["weighted"]
    assert [row["group"] for row in found["groups"]] == ["a", "b"]
    assert {row["group"] for row in found["rules"]} == set("abc")
    given = int(made.frame.filter(pl.col("group") == "c")["samples"][0])
    assert given > 0
    # what is left after it is shared as on its own: the same front with a smaller budget
    left = {**stated(fitted, {"a": 1, "b": 1, "c": 1}, kind="weighted_sum", level="raw")}
    left = {**left, "budget": 6_000.0 - given, "groups": left["groups"][:2]}
    sweep = aversion_sweep(left)
    assert pl.DataFrame(found["sweep"])["worst"].to_numpy() == pytest.approx(
        sweep["worst"].to_numpy(), rel=1e-9
    )


def test_floors_and_prices_count_in_every_choice():
    fitted = curves()
    _, free = promised(fitted, objective={"kind": "weighted_sum"}, weights="equal")
    _, bound = promised(
        fitted,
        objective={"kind": "weighted_sum"},
        weights="equal",
        floors={"c": 5_000},
        costs={"a": 2.0},
    )
    assert max(r["overall"] for r in bound["sweep"]) < max(r["overall"] for r in free["sweep"])
    drawn = {(r["rule"], r["group"]): r["samples"] for r in bound["rules"]}
    for rule in ("equal", "proportional", "alpha_0.3", "equal_spend"):
        assert drawn[rule, "c"] >= 5_000 - 1e-6
        assert 2 * drawn[rule, "a"] + drawn[rule, "b"] + drawn[rule, "c"] == pytest.approx(6_000)


def test_a_group_that_its_own_data_leaves_behind_is_named_on_the_stated_level():
    fitted = curves()
    few = CELLS.with_columns(
        available=pl.when(pl.col("group") == "c").then(60).otherwise("available")
    )

    def far(level):
        given = {
            "budget": 6_000.0,
            "curves": fitted,
            "objective": {"kind": "leximin", "level": level},
        }
        made = plan(few, **given)
        return prospects(few, made.frame, **given)

    found = far("raw")
    assert [row["group"] for row in found["unreachable"]] == ["c"]
    (warning,) = out_of_reach_warnings(found)
    assert warning["code"] == "unreachable"
    assert "group c" in warning["message"]
    # with all that it has every group attains the best that it can
    assert far("attainable")["unreachable"] == []
    _, free = promised(fitted, budget=1_500.0, objective={"kind": "max_min", "level": "raw"})
    assert free["unreachable"] == []


def test_behind_compares_with_every_other():
    now, best = np.array([0.5, 0.6, 0.7]), np.array([0.55, 0.9, 0.9])
    assert behind(now, best) == [0]
    assert behind(now, np.array([0.65, 0.9, 0.9])) == []
    assert behind(np.array([0.5]), np.array([0.5])) == []
