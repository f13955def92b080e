"""The recipe's draws: how many, what is planned on them, and that they are stored."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from assets.allocation.definitions import ANALYSIS, _plan
from assets.allocation.group_curves import fit_group_curves
from assets.allocation.plan import plan
from resources.errors import RecipeError
from resources.recipe_file import parse_recipe
from tests.allocation.test_plan import CELLS, evaluations

POLICY = {"owner": "me", "reason": "x", "decided": "2026-11-30"}
SUM = {"objective": "weighted_sum", "weights": "equal"}
LEVEL = {"objective": "max_min", "level": "raw"}
NOISY = evaluations(noise=0.03).with_columns(reason=pl.lit(None, pl.String))


def recipe(**allocation):
    return parse_recipe(
        {
            "lake": "./lake",
            "output": "./out",
            "records": [{"tables": "*", "text": "t", "groups": {"g": {"column": "lang"}}}],
            "filtering": {"budgets": [{"samples": 3000}], "max_passes": 2},
            "allocation": {"by": "g", "policy": POLICY, **allocation},
        },
        base=Path("/data"),
    )


def planned(**allocation):
    analysis = pl.DataFrame({"worths": [json.dumps({})]})
    run = SimpleNamespace(
        recipe=recipe(**allocation), sample=None, read=lambda name: {ANALYSIS: analysis}[name]
    )
    made, report = _plan(run, CELLS, NOISY)
    return made, report.to_dicts()[0]


def test_the_draws_are_counted_and_stored_as_they_were_used():
    made, report = planned(**SUM, draws={"count": 30})
    assert made.summary["draws"] == 30
    assert made.summary["planned_on"] == "best curves"
    stored = json.loads(report["draws"])
    assert {len(v) for by in stored.values() for v in by.values()} == {30}
    groups = sorted(set(CELLS["group"]))
    curves = fit_group_curves(NOISY, groups, draws=30, seed=0)
    known = [g for g in groups if g in stored]
    assert known
    for name in known:
        np.testing.assert_allclose(
            stored[name]["p"], curves.draw_p[:, groups.index(name)], rtol=1e-8
        )


@pytest.mark.parametrize(("objective", "how"), [(SUM, "mean"), (LEVEL, "worst")])
def test_the_plan_is_made_on_what_the_recipe_names(objective, how):
    made, _ = planned(**objective, draws={"count": 40, "plan": how})
    best, _ = planned(**objective, draws={"count": 40})
    assert made.summary["planned_on"] == how
    groups = sorted(set(CELLS["group"]))
    curves = fit_group_curves(NOISY, groups, draws=40, seed=0)
    stated = {"kind": objective["objective"]} | ({"level": "raw"} if "level" in objective else {})
    expected = plan(
        CELLS,
        budget=3000,
        objective=stated,
        curves=curves,
        weights=objective.get("weights"),
        repetition="step",
        decay=5.0,
        max_passes=2,
        fallback="proportional",
        draws=how,
    )
    assert made.frame.equals(expected.frame)
    assert made.summary["shadow_price"] != best.summary["shadow_price"]


def test_who_decided_and_when_is_recorded_with_all_that_was_chosen():
    _, report = planned(**SUM, costs={"en": 2.0}, floors={"sw": 10})
    policy = json.loads(report["policy"])
    assert policy["policy"] == POLICY
    assert policy["weights"] == "equal"
    assert (policy["costs"], policy["floors"]) == ({"en": 2.0}, {"sw": 10})
    assert policy["draws"] == {"count": 200, "plan": None}


@pytest.mark.parametrize(
    ("allocation", "told"),
    [
        ({**SUM, "draws": {"plan": "worst"}}, "draws.plan worst does not go with weighted_sum"),
        ({**LEVEL, "draws": {"plan": "mean"}}, "draws.plan mean does not go with max_min"),
        ({**SUM, "draws": {"plan": "median"}}, "allocation.draws.plan"),
        ({**SUM, "draws": {"count": 2}}, "allocation.draws.count"),
        (
            {**SUM, "draws": {"cuont": 20}},
            "allocation.draws.cuont: unknown key; did you mean 'count'",
        ),
        ({**SUM, "policy": {**POLICY, "decided": "soon"}}, "allocation.policy.decided"),
    ],
)
def test_draws_that_say_nothing(allocation, told):
    with pytest.raises(RecipeError) as caught:
        recipe(**allocation)
    assert told in str(caught.value)
