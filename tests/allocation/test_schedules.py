"""Schedules and online weights; what trainers read of a plan."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from assets.allocation.errors import AllocationError
from assets.allocation.schedules import (
    doremi_step,
    error_bound_scaling,
    group_dro_step,
    odm_step,
    phases,
    worst_group,
)
from orchestration.cli import main

SIZES = {"a": 1e6, "b": 1e5, "c": 1e4, "d": 1e3}


def probabilities(rule, budget=400_000):
    return [list(p["probabilities"].values()) for p in phases(rule, SIZES, budget)]


def test_static_rules():
    np.testing.assert_allclose(
        probabilities("alpha=0.3")[0], [0.532405, 0.266835, 0.133734, 0.067026], atol=1e-6
    )
    assert probabilities("tau=5") == probabilities("alpha=0.2")
    np.testing.assert_allclose(
        probabilities("unimax=4")[0], np.array([178, 178, 40, 4]) / 400, rtol=1e-12
    )
    cooldown = phases("cooldown=5:1:0.6", SIZES, 1)
    assert [p["start"] for p in cooldown] == [0.0, 0.6]
    assert list(cooldown[0]["probabilities"].values()) == probabilities("tau=5")[0]
    assert cooldown[1]["probabilities"]["a"] == pytest.approx(1e6 / 1.111e6)


@pytest.mark.parametrize(
    "rule", ["temperature=0.3", "temp=5", "alpha", "alpha=x", "cooldown=5:1", "tau=-1"]
)
def test_ambiguous_or_unknown_rules_are_refused(rule):
    with pytest.raises(AllocationError, match="alpha="):
        phases(rule, SIZES, 1)


def test_doremi_raises_groups_with_excess_loss_only():
    w = doremi_step(np.full(3, 1 / 3), np.array([2.0, 1.0, 0.5]), np.array([1.0, 1.0, 0.9]))
    raw = np.exp([1.0, 0, 0])
    np.testing.assert_allclose(w, 0.999 * raw / raw.sum() + 1e-3 / 3)


def test_odm_uses_the_former_exploration_in_the_exponent():
    total, p = odm_step(np.zeros(2), 0, 2.0, np.array([0.5, 0.5]), 3)
    before, now = (np.sqrt(np.log(2) / (2 * t)) for t in (3, 4))
    raw = np.exp(before * np.array([4.0, 0.0]))
    np.testing.assert_allclose(p, (1 - 2 * now) * raw / raw.sum() + now)
    assert total.tolist() == [4.0, 0.0]
    assert p.sum() == pytest.approx(1)


def test_group_dro_and_worst_group():
    w = group_dro_step(np.array([0.5, 0.5]), np.array([1.0, 2.0]), eta=0.5)
    assert w[1] / w[0] == pytest.approx(np.exp(0.5))
    assert worst_group(np.array([0.7, 0.6])) == 1
    assert worst_group(np.array([0.7, 0.6]), np.array([0.2, 0.01])) == 0


def test_error_bound_scaling_counts_present_groups_only():
    np.testing.assert_allclose(
        error_bound_scaling(np.array([0.2, np.nan, 0.4])), [np.tanh(1), 1, np.tanh(0.5)]
    )
    # mutant: an absent group as loss 0 makes the minimum 0 and every present weight 0
    assert (error_bound_scaling(np.array([0.2, np.nan])) > 0.7).all()


def test_export_writes_one_plan_in_every_form(tmp_path):
    power = {"form": "power", "a": 0.9, "b": 1.0, "p": 0.4}
    problem = {
        "budget": 150,
        "objective": {"kind": "max_min", "level": "raw"},
        "policy": {"owner": "Ada", "reason": "fair", "decided": "2026-11-30"},
        "groups": [
            {"name": "x", "cost": 1, "available": 50, "curve": power, "repeats": {"r_star": 9}},
            {
                "name": "y",
                "curve": power | {"b": 0.8},
                "pools": [
                    {"name": "good", "worth": 1, "cost": 1, "available": 40},
                    {"name": "rest", "worth": 0.5, "cost": 1, "available": 400},
                ],
            },
        ],
    }
    file, out = tmp_path / "problem.json", tmp_path / "out"
    file.write_text(json.dumps(problem))
    call = ["allocate", str(file), "--integer", "--export", str(out), "--schedule", "tau=5"]
    result = CliRunner().invoke(main, call)
    assert result.exit_code == 0, result.output
    plan = pl.read_csv(out / "plan.csv")
    assert plan["samples"].sum() == 150
    assert plan["sampling_prob"].sum() == pytest.approx(1)
    assert (plan["row_weight"] * plan["records"]).sum() == pytest.approx(1)
    x = plan.filter(pl.col("group") == "x").to_dicts()[0]
    assert x["passes"] == pytest.approx(x["samples"] / 50)
    mixed = json.loads((out / "interleave.json").read_text())
    assert mixed["names"] == ["x", "y"]
    assert mixed["probabilities"][0] == pytest.approx(x["sampling_prob"])
    blend = (out / "blend.txt").read_text().split()
    assert blend[1::2] == ["x", "y/pool=good", "y/pool=rest"]
    assert sum(map(float, blend[::2])) == pytest.approx(1)
    policy = json.loads((out / "policy.json").read_text())
    assert (policy["owner"], policy["decided"], policy["budget"]) == ("Ada", "2026-11-30", 150)
    assert policy["objective"] == problem["objective"]
    assert policy["costs"] == {"x": 1, "y": {"good": 1, "rest": 1}}
    assert policy["floors"] == {"x": 0, "y": 0}
    schedule = json.loads((out / "schedule.json").read_text())
    assert schedule[0]["probabilities"]["y"] > schedule[0]["probabilities"]["x"]
    refused = CliRunner().invoke(main, [*call[:-1], "temperature=5"])
    assert refused.exit_code == 2
